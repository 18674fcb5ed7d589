package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/connect/entities"
)

// Workers tell their group nothing of their plugins, but their REST API does: what this
// worker has no class for is validated by one that has it.

const (
	otherPatience     = 20 * time.Second // for one other worker
	maxInfosBytes     = 8 << 20          // of its answer
	maxComplaintBytes = 4 << 10          // of another answer
)

// validateAnywhere validates the config of a connector here if this build has the class, else
// on the leader or on a worker that the leader finds.
func (h *Herder) validateAnywhere(ctx context.Context, config map[string]*string) (*connect.ConfigInfos, error) {
	class := config[keyConnectorClass]
	if class == nil || h.plugins.HasConnector(*class) || strings.Contains(*class, "${") {
		return h.validate(ctx, config)
	}
	var others []string
	err := h.settled(ctx, func() error {
		if err := h.leading(); err != nil {
			return err
		}
		if h.assigned.Owners != nil {
			others = h.assigned.Owners.Workers
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	unknown := h.plugins.unknownConnector(*class)
	var complaints []error
	for _, worker := range others {
		if worker == h.url {
			continue
		}
		infos, err := h.validateOn(ctx, worker, *class, config)
		if err == nil {
			return infos, nil
		}
		complaints = append(complaints, fmt.Errorf("%s: %w", worker, err))
	}
	if len(complaints) == 0 {
		return nil, unknown
	}
	return nil, entities.BadRequest(fmt.Sprintf("%v. The other workers of the group were asked: %v", unknown, strings.ReplaceAll(errors.Join(complaints...).Error(), "\n", "; ")))
}

// validateOn has another worker validate, under the caller's own credentials.
func (h *Herder) validateOn(ctx context.Context, worker, class string, config map[string]*string) (*connect.ConfigInfos, error) {
	ctx, cancel := context.WithTimeout(ctx, otherPatience)
	defer cancel()
	body, err := json.Marshal(config)
	if err != nil {
		return nil, fmt.Errorf("encode the config: %w", err)
	}
	// forward=false: a worker that does not have the class either must not send it back here.
	req, err := requestTo(ctx, http.MethodPut, worker, "/connector-plugins/"+url.PathEscape(strings.TrimSpace(class))+"/config/validate", body)
	if err != nil {
		return nil, err
	}
	if header := entities.Authorization(ctx); header != "" {
		req.Header.Set("Authorization", header)
	}
	answer, err := h.poster.Do(req)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close() //nolint:errcheck // it was only read
	if answer.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(answer.Body, maxComplaintBytes)) // the status says enough
		return nil, fmt.Errorf("%d %s", answer.StatusCode, complaint(text))
	}
	var infos connect.ConfigInfos
	if err := json.NewDecoder(io.LimitReader(answer.Body, maxInfosBytes)).Decode(&infos); err != nil {
		return nil, fmt.Errorf("read the validation: %w", err)
	}
	return &infos, nil
}

// complaint is the message of an error answer without the list of plugins that it ends with.
func complaint(body []byte) string {
	var e struct {
		Message string `json:"message"`
	}
	if json.Unmarshal(body, &e) != nil {
		return strings.ToValidUTF8(string(body), "?")
	}
	before, _, _ := strings.Cut(e.Message, ", available connectors are:")
	return before
}
