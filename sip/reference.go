package sip

import (
	"bytes"
	_ "embed"
	"fmt"
	"strings"
	"text/template"

	"asterism/apps"
)

//go:embed reference.md.tmpl
var referencePage string

// Reference returns the reference page of all actions and their headers, in
// Markdown. It is made of the header table, the registered actions and the
// table of statuses.
func Reference() []byte {
	page := template.Must(template.New("reference").Funcs(template.FuncMap{
		"header": func(name string) (Header, error) {
			if h, ok := lookUp(name); ok {
				return *h, nil
			}
			return Header{}, fmt.Errorf("an action names the header %s, which is not in the table of sip/headers.go", name)
		},
		"cell":   strings.NewReplacer("|", `\|`, "<", `\<`).Replace,
		"always": alwaysTaken,
	}).Parse(referencePage))
	var b bytes.Buffer
	if err := page.Execute(&b, map[string]any{
		"Actions": apps.Actions(), "Refusals": Refusals(),
		"MaxValue": MaxValue, "MaxParams": MaxParams, "MaxSounds": maxSounds, "MinSecret": MinSecret,
		"MaxAge": DefaultMaxAge, "Skew": DefaultSkew, "Domain": domain,
	}); err != nil {
		// Only a mistake in the template leads here; the test of the page finds it.
		return fmt.Appendf(nil, "the reference page cannot be written: %v\n", err)
	}
	return b.Bytes()
}

func alwaysTaken() []string {
	var names []string
	for _, h := range Headers {
		if h.Always {
			names = append(names, h.Name)
		}
	}
	return names
}
