package rest

import (
	"net/http"
	"strings"
)

// CORS lets scripts of other origins use the API, without the browser's credentials.
type CORS struct {
	Allow   func(origin string) bool
	Methods []string // for requests that browsers ask about before; nil: GET, POST, HEAD
}

// crossOrigin answers browsers as Jetty's CrossOriginHandler does for Kafka Connect 4: a
// question before a request (preflight) gets the headers and is then answered as any
// OPTIONS. What an origin may not see is handled all the same: it is the browser that keeps
// the answer from the script.
func crossOrigin(c *CORS, next http.Handler) http.Handler {
	methods := strings.Join(c.Methods, ",")
	if methods == "" {
		methods = "GET,POST,HEAD"
	}
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		header := w.Header()
		header.Add("Vary", "Origin")
		if origin := req.Header.Get("Origin"); origin != "" && c.Allow(origin) {
			header.Set("Access-Control-Allow-Origin", origin)
			if req.Method == http.MethodOptions && req.Header.Get("Access-Control-Request-Method") != "" {
				header.Set("Access-Control-Allow-Methods", methods)
				header.Set("Access-Control-Allow-Headers", "Content-Type")
				header.Set("Access-Control-Max-Age", "60")
			}
		}
		next.ServeHTTP(w, req)
	})
}

// withHeaders has set put headers into each answer.
func withHeaders(set func(http.Header), next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		set(w.Header())
		next.ServeHTTP(w, req)
	})
}
