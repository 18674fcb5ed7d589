package rest

import (
	"crypto/sha256"
	"crypto/subtle"
	"io"
	"net/http"
)

// passwords knows users by the hashes of their passwords, so that comparing takes the same
// time whatever the password and its length.
type passwords map[string][sha256.Size]byte

func newPasswords(users map[string]string) passwords {
	p := passwords{}
	for user, password := range users {
		p[user] = sha256.Sum256([]byte(password))
	}
	return p
}

func (p passwords) know(user, password string) bool {
	want, known := p[user]
	given := sha256.Sum256([]byte(password))
	return subtle.ConstantTimeCompare(want[:], given[:]) == 1 && known
}

// authenticate passes on the requests of users. The refusal is that of Java's extension: a
// plain text that is called JSON, and no header that would make a browser ask.
func (s *Server) authenticate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if user, password, ok := req.BasicAuth(); ok && s.users.know(user, password) {
			next.ServeHTTP(w, req)
			return
		}
		s.log.Debug("Request refused: no or wrong credentials", "method", req.Method, "path", req.URL.Path, "from", req.RemoteAddr)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, "User cannot access the resource.") // a client that is gone needs no answer
	})
}
