package cli

import "testing"

func TestLoginConfig(t *testing.T) {
	for opts, want := range map[string]string{
		"": "",
		"-Xmx2g -Djava.security.auth.login.config=/etc/jaas.conf -Dx=y":               "/etc/jaas.conf",
		`-Djava.security.auth.login.config=a  -Djava.security.auth.login.config=="b"`: "b",
		"-Djava.security.auth.login.configs=/etc/jaas.conf":                           "",
	} {
		if got := loginConfig(opts); got != want {
			t.Errorf("loginConfig(%q) is %q, want %q", opts, got, want)
		}
	}
}
