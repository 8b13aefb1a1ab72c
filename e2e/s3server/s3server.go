package s3server

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

const (
	buildTimeout = 20 * time.Minute
	startTimeout = 30 * time.Second
	stopTimeout  = 10 * time.Second
	startTries   = 3
)

// Server is a running S3 server that speaks HTTP.
type Server struct {
	// Endpoint is host:port.
	Endpoint             string
	AccessKey, SecretKey string

	dir     string
	command *exec.Cmd
	output  *bytes.Buffer // Read only after the process has ended.
	ended   chan struct{}
	client  *minio.Client
}

// Start runs a server on a free port of the loopback address, such as
// 127.0.30.1, until the test ends. Its objects lie in a directory of the test.
func Start(tb testing.TB, address string) *Server {
	tb.Helper()
	program, err := Build(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	s, err := launch(tb.Context(), program, address, tb.TempDir())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(s.Stop)
	return s
}

// Launch is [Start] outside of a test: the objects lie in dir, which must be
// there, and whoever calls it calls [Server.Stop].
func Launch(ctx context.Context, address, dir string) (*Server, error) {
	program, err := Build(ctx)
	if err != nil {
		return nil, err
	}
	return launch(ctx, program, address, dir)
}

func launch(ctx context.Context, program, address, dir string) (*Server, error) {
	s := &Server{AccessKey: rand.Text(), SecretKey: rand.Text() + rand.Text(), dir: dir}
	if err := s.startOnFreePort(ctx, program, address); err != nil {
		return nil, err
	}
	return s, nil
}

// startOnFreePort tries again when somebody else takes the port in between.
func (s *Server) startOnFreePort(ctx context.Context, program, address string) error {
	var errs error
	for range startTries {
		endpoint, err := freePort(ctx, address)
		if err != nil {
			return err
		}
		s.Endpoint = endpoint
		if err = s.Restart(ctx, program); err == nil {
			return nil
		}
		errs = errors.Join(errs, err)
	}
	return errs
}

// Restart starts the server, again on the same port and with the same objects
// after [Server.Stop]. An empty program is the one that Build makes.
func (s *Server) Restart(ctx context.Context, program string) error {
	if program == "" {
		var err error
		if program, err = Build(ctx); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	// Its life is ended by Stop, not by the context that bounds its start.
	s.command = exec.CommandContext(context.WithoutCancel(ctx), program,
		"--port", s.Endpoint, "--quiet", "--keep-alive", "posix", s.dir)
	s.command.Env = append(os.Environ(), "ROOT_ACCESS_KEY="+s.AccessKey, "ROOT_SECRET_KEY="+s.SecretKey)
	s.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	s.output = &bytes.Buffer{}
	s.command.Stdout, s.command.Stderr = s.output, s.output
	if err := s.command.Start(); err != nil {
		return fmt.Errorf("start the S3 server: %w", err)
	}
	s.ended = make(chan struct{})
	go func() {
		defer close(s.ended)
		_ = s.command.Wait() // How it ended shows in its output.
	}()
	if err := s.awaitReady(ctx); err != nil {
		s.Stop()
		return fmt.Errorf("start the S3 server on %s: %w; it said: %s", s.Endpoint, err, s.output)
	}
	return nil
}

func (s *Server) awaitReady(ctx context.Context) error {
	client, err := minio.New(s.Endpoint, &minio.Options{
		Creds: credentials.NewStaticV4(s.AccessKey, s.SecretKey, ""), Region: "us-east-1", MaxRetries: 1,
	})
	if err != nil {
		return err
	}
	s.client = client
	for {
		if _, err = client.ListBuckets(ctx); err == nil {
			return nil
		}
		select {
		case <-s.ended:
			return errors.New("it ended")
		case <-ctx.Done():
			return err
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// MakeBucket makes an empty bucket with a name of its own and returns the name.
func (s *Server) MakeBucket(tb testing.TB) string {
	tb.Helper()
	name, err := s.NewBucket(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	return name
}

// NewBucket is [Server.MakeBucket] outside of a test.
func (s *Server) NewBucket(ctx context.Context) (string, error) {
	name := "b-" + strings.ToLower(rand.Text())
	if err := s.client.MakeBucket(ctx, name, minio.MakeBucketOptions{Region: "us-east-1"}); err != nil {
		return "", fmt.Errorf("make a bucket: %w", err)
	}
	return name, nil
}

// Stop ends the server at once, as a machine that fails would.
func (s *Server) Stop() {
	_ = s.command.Process.Kill()
	select {
	case <-s.ended:
	case <-time.After(stopTimeout):
	}
}

func freePort(ctx context.Context, address string) (string, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", net.JoinHostPort(address, "0"))
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String(), nil
}

// Build returns the path of the server's program, which it builds when it is
// missing or older than its go.mod.
func Build(ctx context.Context) (string, error) {
	root, err := projectRoot()
	if err != nil {
		return "", err
	}
	program := filepath.Join(root, ".runtime", "bin", "versitygw")
	module := filepath.Join(root, "e2e", "tools", "versitygw")
	if upToDate(program, filepath.Join(module, "go.mod")) {
		return program, nil
	}
	if err := os.MkdirAll(filepath.Dir(program), 0o755); err != nil {
		return "", fmt.Errorf("build the S3 server: %w", err)
	}
	lock, err := os.OpenFile(program+".lock", os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return "", fmt.Errorf("build the S3 server: %w", err)
	}
	defer func() { _ = lock.Close() }()
	// Tests of several packages run at once; one of them builds.
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", fmt.Errorf("build the S3 server: lock: %w", err)
	}
	if upToDate(program, filepath.Join(module, "go.mod")) {
		return program, nil
	}
	ctx, cancel := context.WithTimeout(ctx, buildTimeout)
	defer cancel()
	// Not "-o program": it would be incomplete for a moment.
	build := exec.CommandContext(ctx, "go", "build", "-C", module, "-o", program+".new", "github.com/versity/versitygw/cmd/versitygw")
	build.Env = append(os.Environ(), "GOFLAGS=", "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the S3 server with %q: %w: %s", build, err, output)
	}
	if err := os.Rename(program+".new", program); err != nil {
		return "", fmt.Errorf("build the S3 server: %w", err)
	}
	return program, nil
}

func upToDate(program, module string) bool {
	built, err := os.Stat(program)
	if err != nil {
		return false
	}
	pinned, err := os.Stat(module)
	return err == nil && !built.ModTime().Before(pinned.ModTime())
}

func projectRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the project: %w", err)
	}
	for ; ; dir = filepath.Dir(dir) {
		data, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && bytes.HasPrefix(data, []byte("module asterism\n")) {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("find the project: no directory above has the go.mod of asterism")
		}
	}
}
