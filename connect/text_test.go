package connect_test

import (
	"testing"

	"github.com/firn-io/firn/connect"
)

func TestArenaText(t *testing.T) {
	tests := []struct{ in, want string }{
		{"", ""},
		{"plain", "plain"},
		{"grüße €", "grüße €"},
		{"a\xffb", "a\uFFFDb"},
		{"\xe2\x82a", "\uFFFDa"},               // a euro sign cut short is one part
		{"\xe2\x82", "\uFFFD"},                 // … also at the end
		{"\xf0\x9f\x98x", "\uFFFDx"},           // so is a cut emoji
		{"\xc0\x80", "\uFFFD\uFFFD"},           // an overlong form begins nothing
		{"\xed\xa0\x80", "\uFFFD\uFFFD\uFFFD"}, // nor does a surrogate
		{"\xf4\x90\x80\x80", "\uFFFD\uFFFD\uFFFD\uFFFD"},
	}
	for _, tt := range tests {
		var a connect.Arena
		if got := a.Text([]byte(tt.in)).Text(); got != tt.want {
			t.Errorf("Text(%q) = %q, want %q", tt.in, got, tt.want)
		}
	}
}
