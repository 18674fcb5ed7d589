// Package jvm reads what a worker in Java gets from its start script rather than from its
// properties file: system properties in KAFKA_OPTS, and the JAAS file that one of them names.
//
// It keeps nothing and starts nothing. What the options mean is the caller's business.
package jvm

import "strings"

// LoginConfig is the system property that names a JAAS file.
const LoginConfig = "java.security.auth.login.config"

// SystemProperty finds -DNAME=VALUE among the options of a Java virtual machine; the last
// one counts. A second =, by which Java takes a JAAS file alone, and quotes are not part
// of the value.
func SystemProperty(options, name string) (value string) {
	for option := range strings.FieldsSeq(options) {
		if text, ok := strings.CutPrefix(option, "-D"+name+"="); ok {
			value = strings.Trim(strings.TrimPrefix(text, "="), `"'`)
		}
	}
	return value
}
