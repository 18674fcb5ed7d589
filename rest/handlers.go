package rest

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/connect/entities"
)

func (s *Server) root(*request) (*answer, error) {
	return ok(entities.ServerInfo{Version: connect.APIVersion, Commit: s.commit, KafkaClusterID: s.herder.ClusterID()})
}

// health answers 200, 503 while the worker starts, and 500 when it does not answer (KIP-1017).
func (s *Server) health(r *request) (*answer, error) {
	err := s.herder.Health(r.Context())
	if err == nil {
		return ok(entities.Health{Status: "healthy", Message: "Worker has completed startup and is ready to handle requests."})
	}
	if e, is := errors.AsType[*entities.Error](err); is && e.Status == http.StatusServiceUnavailable {
		return &answer{status: e.Status, body: entities.Health{Status: "starting", Message: e.Message}}, nil
	}
	return &answer{status: http.StatusInternalServerError, body: entities.Health{
		Status: "unhealthy", Message: "Worker was unable to handle this request and may be unable to handle other requests.",
	}}, nil
}

func (s *Server) connectors(r *request) (*answer, error) {
	names, err := s.herder.Connectors(r.Context())
	if err != nil {
		return nil, err
	}
	expand := r.URL.Query()["expand"]
	if len(expand) == 0 {
		return ok(names)
	}
	out := map[string]entities.Expanded{}
	for _, name := range names {
		var e entities.Expanded
		if slices.Contains(expand, "status") {
			if e.Status, err = s.herder.Status(r.Context(), name); err != nil {
				continue // a connector that has no status yet is left out
			}
		}
		if slices.Contains(expand, "info") {
			if e.Info, err = s.herder.Connector(r.Context(), name); err != nil {
				continue // deleted meanwhile
			}
		}
		out[name] = e
	}
	return ok(out)
}

func (s *Server) create(r *request) (*answer, error) {
	c, err := readCreate(r.body)
	if err != nil {
		return nil, err
	}
	info, err := s.herder.Create(r.Context(), c)
	return &answer{status: http.StatusCreated, body: info, location: c.Name}, err
}

func (s *Server) connector(r *request) (*answer, error) {
	info, err := s.herder.Connector(r.Context(), r.param("name"))
	return &answer{status: http.StatusOK, body: info}, err
}

func (s *Server) delete(r *request) (*answer, error) {
	return &answer{status: http.StatusNoContent}, s.herder.Delete(r.Context(), r.param("name"))
}

func (s *Server) config(r *request) (*answer, error) {
	info, err := s.herder.Connector(r.Context(), r.param("name"))
	if err != nil {
		return nil, err
	}
	return ok(info.Config)
}

func (s *Server) putConfig(r *request) (*answer, error) {
	name := r.param("name")
	config, err := readConfig(r.body)
	if err == nil {
		err = config.named(name)
	}
	if err != nil {
		return nil, err
	}
	info, created, err := s.herder.PutConfig(r.Context(), name, config)
	if created {
		return &answer{status: http.StatusCreated, body: info, location: name}, err
	}
	return &answer{status: http.StatusOK, body: info}, err
}

func (s *Server) patchConfig(r *request) (*answer, error) {
	patch, err := readConfig(r.body)
	if err != nil {
		return nil, err
	}
	name := r.param("name")
	if given, has := patch["name"]; has && (given == nil || *given != name) {
		return nil, patch.named(name)
	}
	info, err := s.herder.PatchConfig(r.Context(), name, patch)
	return &answer{status: http.StatusOK, body: info}, err
}

func (s *Server) status(r *request) (*answer, error) {
	info, err := s.herder.Status(r.Context(), r.param("name"))
	return &answer{status: http.StatusOK, body: info}, err
}

// target handles pause, resume and stop: the change is recorded, tasks follow shortly.
func (s *Server) target(state entities.TargetState, status int) func(r *request) (*answer, error) {
	return func(r *request) (*answer, error) {
		return &answer{status: status}, s.herder.SetTarget(r.Context(), r.param("name"), state)
	}
}

func (s *Server) restart(r *request) (*answer, error) {
	name, includeTasks, onlyFailed := r.param("name"), r.flag("includeTasks"), r.flag("onlyFailed")
	if !includeTasks && !onlyFailed {
		return &answer{status: http.StatusNoContent}, s.herder.Restart(r.Context(), name)
	}
	plan, err := s.herder.RestartPlan(r.Context(), name, includeTasks, onlyFailed)
	return &answer{status: http.StatusAccepted, body: plan}, err
}

func (s *Server) tasks(r *request) (*answer, error) {
	tasks, err := s.herder.Tasks(r.Context(), r.param("name"))
	return &answer{status: http.StatusOK, body: tasks}, err
}

func signature(r *request) entities.Signature {
	return entities.Signature{Algorithm: r.Header.Get("X-Connect-Request-Signature-Algorithm"), MAC: r.Header.Get("X-Connect-Authorization")}
}

// putTasks is a request of another worker. It is not forwarded: the signature would not
// survive, and the sender tries again.
func (s *Server) putTasks(r *request) (*answer, error) {
	var configs []map[string]*string
	if err := decode(r.body, &configs, false); err != nil {
		return nil, err
	}
	err := s.herder.PutTaskConfigs(r.Context(), r.param("name"), configs, r.body, signature(r))
	if _, is := errors.AsType[*entities.RedirectError](err); is {
		err = entities.Conflict(textConflict)
	}
	return &answer{status: http.StatusNoContent}, err
}

func (s *Server) fence(r *request) (*answer, error) {
	return &answer{status: http.StatusOK}, s.herder.Fence(r.Context(), r.param("name"), r.body, signature(r))
}

func (s *Server) taskStatus(r *request) (*answer, error) {
	n, err := r.task()
	if err != nil {
		return nil, err
	}
	state, err := s.herder.TaskStatus(r.Context(), r.param("name"), n)
	return &answer{status: http.StatusOK, body: state}, err
}

func (s *Server) restartTask(r *request) (*answer, error) {
	n, err := r.task()
	if err != nil {
		return nil, err
	}
	return &answer{status: http.StatusNoContent}, s.herder.RestartTask(r.Context(), r.param("name"), n)
}

func (s *Server) topics(r *request) (*answer, error) {
	name := r.param("name")
	topics, err := s.herder.Topics(r.Context(), name)
	return &answer{status: http.StatusOK, body: map[string]entities.ActiveTopics{name: {Topics: topics}}}, err
}

func (s *Server) resetTopics(r *request) (*answer, error) {
	return &answer{status: http.StatusAccepted}, s.herder.ResetTopics(r.Context(), r.param("name"))
}

func (s *Server) offsets(r *request) (*answer, error) {
	offsets, err := s.herder.Offsets(r.Context(), r.param("name"))
	return &answer{status: http.StatusOK, body: offsets}, err
}

func (s *Server) alterOffsets(r *request) (*answer, error) {
	var offsets *entities.Offsets
	if err := decode(r.body, &offsets, false); err != nil {
		return nil, err
	}
	if offsets == nil {
		offsets = &entities.Offsets{}
	}
	message, err := s.herder.AlterOffsets(r.Context(), r.param("name"), *offsets)
	return &answer{status: http.StatusOK, body: message}, err
}

func (s *Server) resetOffsets(r *request) (*answer, error) {
	message, err := s.herder.ResetOffsets(r.Context(), r.param("name"))
	return &answer{status: http.StatusOK, body: message}, err
}

func (s *Server) plugins(r *request) (*answer, error) {
	connectorsOnly := !r.URL.Query().Has("connectorsOnly") || r.flag("connectorsOnly")
	return ok(s.herder.Plugins(connectorsOnly))
}

func (s *Server) pluginConfig(r *request) (*answer, error) {
	keys, err := s.herder.PluginConfig(r.param("plugin"))
	return &answer{status: http.StatusOK, body: keys}, err
}

func (s *Server) validate(r *request) (*answer, error) {
	config, err := readConfig(r.body)
	if err != nil {
		return nil, err
	}
	infos, err := s.herder.Validate(r.Context(), r.param("plugin"), config)
	return &answer{status: http.StatusOK, body: infos}, err
}

func (s *Server) loggers(*request) (*answer, error) { return ok(s.herder.Loggers()) }

func (s *Server) logger(r *request) (*answer, error) {
	level, err := s.herder.Logger(r.param("logger"))
	return &answer{status: http.StatusOK, body: level}, err
}

// setLogger sets levels here, or with scope=cluster everywhere; any other scope is here.
func (s *Server) setLogger(r *request) (*answer, error) {
	var body map[string]*string
	if err := decode(r.body, &body, false); err != nil {
		return nil, err
	}
	level := body["level"]
	if level == nil {
		return nil, entities.BadRequest("Desired 'level' parameter was not specified in request.")
	}
	if strings.EqualFold(r.URL.Query().Get("scope"), "cluster") {
		return &answer{status: http.StatusNoContent}, s.herder.SetClusterLogger(r.Context(), r.param("logger"), *level)
	}
	changed, err := s.herder.SetLogger(r.param("logger"), *level)
	return &answer{status: http.StatusOK, body: changed}, err
}
