package rest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/firn-io/firn/connect/entities"
)

// decode reads a JSON value; what follows it is ignored, as Java's parser does. Faults are
// a 400: Java answers them with 500, which clients take for a reason to try again.
func decode(body []byte, into any, strict bool) error {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	if strict {
		dec.DisallowUnknownFields()
	}
	if err := dec.Decode(into); err != nil {
		if errors.Is(err, io.EOF) {
			err = errors.New("there is none")
		}
		return unreadable(err)
	}
	return nil
}

func unreadable(err error) error {
	return entities.BadRequest("the body cannot be read: " + err.Error())
}

// A configBody is a flat JSON object. Numbers and booleans count as their text; null is
// nil.
type configBody map[string]*string

// UnmarshalJSON reads the object.
func (c *configBody) UnmarshalJSON(data []byte) error {
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(data, &raw); err != nil {
		return err
	}
	if raw == nil {
		return nil // null
	}
	*c = make(configBody, len(raw))
	for key, value := range raw {
		text := string(value)
		switch value[0] {
		case 'n':
			(*c)[key] = nil
			continue
		case '{', '[':
			return fmt.Errorf("the value of %q is not a string", key)
		case '"':
			if err := json.Unmarshal(value, &text); err != nil {
				return err
			}
		}
		(*c)[key] = &text
	}
	return nil
}

// config reads a body that is a connector config.
func readConfig(body []byte) (configBody, error) {
	var c configBody
	if err := decode(body, &c, false); err != nil {
		return nil, err
	}
	if c == nil {
		return nil, unreadable(errors.New("it is null, and should be a connector config"))
	}
	return c, nil
}

// named makes sure that a config carries the connector's name.
func (c configBody) named(name string) error {
	given, has := c["name"]
	if !has {
		c["name"] = &name
		return nil
	}
	if given == nil || *given != name {
		text := "null"
		if given != nil {
			text = *given
		}
		return entities.BadRequest(fmt.Sprintf("Connector name configuration (%s) doesn't match connector name in the URL (%s)", text, name))
	}
	return nil
}

type createBody struct {
	Name         *string    `json:"name"`
	Config       configBody `json:"config"`
	InitialState *string    `json:"initial_state"`
}

// readCreate reads the body of POST /connectors.
func readCreate(body []byte) (entities.CreateRequest, error) {
	var b *createBody
	if err := decode(body, &b, true); err != nil {
		return entities.CreateRequest{}, err
	}
	if b == nil || b.Config == nil {
		return entities.CreateRequest{}, unreadable(errors.New("it has no config"))
	}
	r := entities.CreateRequest{Config: b.Config}
	switch {
	case b.Name != nil:
		r.Name = strings.TrimSpace(*b.Name)
	case b.Config["name"] != nil:
		r.Name = strings.TrimSpace(*b.Config["name"])
		b.Config["name"] = &r.Name
	}
	if err := b.Config.named(r.Name); err != nil {
		return r, err
	}
	if b.InitialState == nil {
		return r, nil
	}
	switch strings.ToUpper(*b.InitialState) {
	case "RUNNING":
		r.InitialState = entities.Started
	case "PAUSED":
		r.InitialState = entities.Paused
	case "STOPPED":
		r.InitialState = entities.Stopped
	default:
		return r, unreadable(fmt.Errorf("initial_state %q is none of RUNNING, PAUSED and STOPPED", *b.InitialState))
	}
	return r, nil
}
