package stack

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/goccy/go-yaml"
)

// configName is the configuration file in Options.Dir, which all processes and
// the tools in a person's shell share.
const configName = "asterism.yaml"

// nodeName is the name of the n-th Asterisk, from 1.
func nodeName(n int) string { return fmt.Sprintf("asterisk-%d", n) }

func (o *Options) nodeDir(n int) string      { return filepath.Join(o.Dir, nodeName(n)) }
func (o *Options) configPath() string        { return filepath.Join(o.Dir, configName) }
func (o *Options) secret(name string) string { return filepath.Join(o.Dir, "secrets", name) }
func (o *Options) storageConfig() yaml.MapSlice {
	s3 := o.Storage.S3
	if s3 == nil {
		return yaml.MapSlice{{Key: "kind", Value: "dir"}, {Key: "dir", Value: yaml.MapSlice{{Key: "path", Value: o.Storage.Dir}}}}
	}
	return yaml.MapSlice{{Key: "kind", Value: "s3"}, {Key: "s3", Value: yaml.MapSlice{
		{Key: "endpoint", Value: s3.Endpoint},
		{Key: "bucket", Value: s3.Bucket},
		{Key: "prefix", Value: s3.Prefix},
		{Key: "access_key", Value: s3.AccessKey},
		{Key: "secret_key_file", Value: "secrets/s3"},
		{Key: "tls", Value: s3.TLS},
	}}}
}

// writeConfig writes the configuration and the secrets it points to. Secrets
// that are there are kept, so that a process of an earlier start still fits.
func (o *Options) writeConfig() error {
	if err := os.MkdirAll(filepath.Join(o.Dir, "secrets"), 0o700); err != nil {
		return fmt.Errorf("secrets: %w", err)
	}
	if o.Storage.S3 != nil {
		if err := writeFile(o.secret("s3"), o.Storage.S3.SecretKey); err != nil {
			return err
		}
	}
	for _, name := range []string{"nats-gateway", "nats-worker", "nats-reader"} {
		if _, err := o.keepSecret(name); err != nil {
			return err
		}
	}
	var nodes []yaml.MapSlice
	for n := 1; n <= o.Nodes; n++ {
		if _, err := o.keepSecret("ari-" + nodeName(n)); err != nil {
			return err
		}
		nodes = append(nodes, yaml.MapSlice{
			{Key: "name", Value: nodeName(n)},
			{Key: "ari", Value: yaml.MapSlice{
				{Key: "url", Value: "http://" + o.Addresses[n-1] + ":8088/ari"},
				{Key: "password_file", Value: "secrets/ari-" + nodeName(n)},
			}},
			{Key: "media", Value: yaml.MapSlice{{Key: "dir", Value: nodeName(n) + "/media"}}},
			{Key: "spool", Value: yaml.MapSlice{{Key: "dir", Value: nodeName(n) + "/spool"}}},
		})
	}
	server := yaml.MapSlice{
		{Key: "gateway_password_file", Value: "secrets/nats-gateway"},
		{Key: "worker_password_file", Value: "secrets/nats-worker"},
		{Key: "reader_password_file", Value: "secrets/nats-reader"},
		{Key: "store", Value: "nats"},
	}
	if o.Split {
		server = append(server, yaml.MapItem{Key: "listen", Value: o.NATS})
	}
	doc := yaml.MapSlice{
		{Key: "http", Value: yaml.MapSlice{{Key: "listen", Value: o.HTTP}}},
		{Key: "nodes", Value: nodes},
		{Key: "storage", Value: o.storageConfig()},
		{Key: "nats", Value: yaml.MapSlice{{Key: "server", Value: server}}},
		{Key: "drain", Value: o.Drain.String()},
	}
	out, err := yaml.Marshal(doc)
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	return writeFile(o.configPath(), "# Written anew by each start. All keys: asterism config --example\n"+string(out))
}

// keepSecret returns the secret of that name, and makes it when it is missing.
func (o *Options) keepSecret(name string) (string, error) {
	data, err := os.ReadFile(o.secret(name))
	if err == nil && len(data) > 0 {
		return strings.TrimSpace(string(data)), nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("secret: %w", err)
	}
	secret := rand.Text()
	return secret, writeFile(o.secret(name), secret+"\n")
}

// writeFile replaces a file that nobody else may read.
func writeFile(name, text string) error {
	if err := os.WriteFile(name+".new", []byte(text), 0o600); err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(name), err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(name), err)
	}
	return nil
}
