package group

import "testing"

// Recorded from javax.crypto.Mac and KeyGenerator of JDK 17.
func TestSignAsJava(t *testing.T) {
	key := []byte("0123456789abcdef0123456789abcdef")
	tests := []struct{ body, want string }{
		{"", "eWzTB4rxRjZ1PSaztVVUIv9Vo+Jhz4R7SOlTcbm9CqI="},
		{`[{"a":"b"}]`, "w4sJz7Fw7kA3ME3hRGqTeArGK8uZfbl3MtjL+RdNXNI="},
	}
	for _, tt := range tests {
		got, err := Sign("HmacSHA256", key, []byte(tt.body))
		if got != tt.want || err != nil {
			t.Errorf("Sign(%q) = %s, %v; want %s", tt.body, got, err, tt.want)
		}
		if ok, err := Verify("hmacsha256", key, []byte(tt.body), tt.want); !ok || err != nil {
			t.Errorf("Verify(%q) = %v, %v", tt.body, ok, err)
		}
		if ok, err := Verify("HmacSHA256", key, []byte(tt.body+"x"), tt.want); ok || err != nil {
			t.Errorf("Verify of another body = %v, %v; want false", ok, err)
		}
	}
	if _, err := Sign("HmacMD4", key, nil); err == nil {
		t.Error("an unknown algorithm signed")
	}
	if _, err := Verify("HmacSHA256", key, nil, "not base64!"); err == nil {
		t.Error("a signature that is no base64 gave no error")
	}
}

func TestKeyLengths(t *testing.T) {
	for algorithm, want := range map[string]int{"HmacMD5": 64, "HmacSHA1": 64, "HmacSHA224": 28, "HmacSHA256": 32, "HmacSHA384": 48, "HmacSHA512": 64} {
		if key, err := NewKey(algorithm, 0); len(key) != want || err != nil {
			t.Errorf("NewKey(%s) has %d bytes, %v; want %d", algorithm, len(key), err, want)
		}
	}
	if key, err := NewKey("HmacSHA256", 129); len(key) != 17 || err != nil {
		t.Errorf("129 bits: %d bytes, %v; want 17", len(key), err)
	}
	if _, err := NewKey("HmacSHA256", 8); err == nil {
		t.Error("a key of 8 bits was made")
	}
}
