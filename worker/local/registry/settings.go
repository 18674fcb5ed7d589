package registry

import (
	"net/http"
	"slices"
	"strings"
)

// checkCompatibility tests a schema against one version, or against those that
// a registration would be tested against.
func checkCompatibility(r *http.Request, st *state) (any, error) {
	subject := pathParam(r, "subject")
	_, parsed, err := readSubmission(r, st)
	if err != nil {
		return nil, err
	}
	older := st.live(subject, false)
	if pathParam(r, "version") != "" {
		_, v, err := versionParam(r, st)
		if err != nil {
			return nil, err
		}
		older = []*version{v}
	}
	reasons := st.incompatible(st.level(subject), parsed, older)
	answer := struct {
		Compatible bool     `json:"is_compatible"`
		Messages   []string `json:"messages,omitempty"`
	}{Compatible: len(reasons) == 0}
	if flag(r, "verbose") {
		answer.Messages = reasons
	}
	return answer, nil
}

type levelAnswer struct {
	Level string `json:"compatibilityLevel"`
}

func getLevel(r *http.Request, st *state) (any, error) {
	subject := pathParam(r, "subject")
	if _, ok := st.levels[subject]; !ok && subject != "" && !flag(r, "defaultToGlobal") {
		return nil, errNoLevel(subject)
	}
	return levelAnswer{st.level(subject)}, nil
}

func (r *Registry) putLevel(req *http.Request, st *state) (any, error) {
	var body struct {
		Compatibility string `json:"compatibility"`
	}
	if err := decodeBody(req, &body); err != nil {
		return nil, err
	}
	body.Compatibility = strings.ToUpper(body.Compatibility)
	if _, ok := rules[body.Compatibility]; !ok {
		return nil, errInvalidLevel()
	}
	return body, r.write(req.Context(), st, record{keytype: keyConfig, subject: pathParam(req, "subject"), level: body.Compatibility})
}

func (r *Registry) deleteLevel(req *http.Request, st *state) (any, error) {
	subject := pathParam(req, "subject")
	was, ok := st.levels[subject]
	if !ok && subject != "" {
		return nil, errNoLevel(subject)
	}
	if !ok {
		was = levelBackward
	}
	return levelAnswer{was}, r.write(req.Context(), st, record{keytype: keyConfig, subject: subject, tombstone: true})
}

type modeAnswer struct {
	Mode string `json:"mode"`
}

func getMode(r *http.Request, st *state) (any, error) {
	subject := pathParam(r, "subject")
	if _, ok := st.modes[subject]; !ok && subject != "" && !flag(r, "defaultToGlobal") {
		return nil, errNoMode(subject)
	}
	return modeAnswer{st.mode(subject)}, nil
}

func (r *Registry) putMode(req *http.Request, st *state) (any, error) {
	var body modeAnswer
	if err := decodeBody(req, &body); err != nil {
		return nil, err
	}
	body.Mode = strings.ToUpper(body.Mode)
	if !slices.Contains(modes, body.Mode) {
		return nil, errInvalidMode()
	}
	return body, r.write(req.Context(), st, record{keytype: keyMode, subject: pathParam(req, "subject"), mode: body.Mode})
}

func (r *Registry) deleteMode(req *http.Request, st *state) (any, error) {
	subject := pathParam(req, "subject")
	was, ok := st.modes[subject]
	if !ok {
		return nil, errNoMode(subject)
	}
	return modeAnswer{was}, r.write(req.Context(), st, record{keytype: keyMode, subject: subject, tombstone: true})
}
