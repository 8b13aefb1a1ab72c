package telephony

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// ProjectDir finds the project's directory: the nearest one, from the working
// directory upwards, whose go.mod says "module asterism".
func ProjectDir() (string, error) {
	wd, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the project: %w", err)
	}
	for dir := wd; ; dir = filepath.Dir(dir) {
		b, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		switch {
		case err == nil && strings.HasPrefix(string(b), "module asterism\n"):
			return dir, nil
		case err != nil && !errors.Is(err, os.ErrNotExist):
			return "", fmt.Errorf("find the project: %w", err)
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("no project above %s: expected a go.mod with \"module asterism\"", wd)
		}
	}
}
