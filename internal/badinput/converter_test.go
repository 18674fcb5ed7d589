package badinput

import (
	"maps"
	"net/http"
	"testing"
	"time"

	"github.com/firn-io/firn/internal/kafka"
)

func TestUnknownClasses(t *testing.T) {
	play(t, func(s *scene) {
		s.refuse(map[string]string{"connector.class": "org.Nope"}, http.StatusBadRequest,
			"Failed to find any class that implements Connector and which name matches org.Nope, available connectors are: ")
		s.refuse(map[string]string{"value.converter": "org.Nope"}, http.StatusBadRequest, "Invalid value org.Nope for configuration value.converter: Class org.Nope could not be found.")
		s.refuse(map[string]string{"transforms": "x", "transforms.x.type": "org.Nope"}, http.StatusBadRequest, "Invalid value org.Nope for configuration transforms.x.type: Class org.Nope could not be found.")
	})
}

func TestMissingTopic(t *testing.T) {
	play(t, func(s *scene) {
		s.create(map[string]string{"topics": "events,later"})
		s.warned(soon, "subscribed topics do not exist; waiting for them to be created", "topics=later")
		s.produce("events", numbers(1, 5)...)
		s.rows(5)
		admin, err := kafka.NewAdmin(s.own())
		if err != nil {
			s.Fatal(err)
		}
		defer admin.Close() //nolint:errcheck // the test's own
		if err := admin.CreateTopic(s.Context(), kafka.TopicSpec{Name: "later", Partitions: 1, ReplicationFactor: 1}); err != nil {
			s.Fatal(err)
		}
		s.produce("later", numbers(6, 9)...)
		s.rows(9)
		s.running()
	})
}

// withAvro is a connector that reads Avro.
func withAvro(more map[string]string) map[string]string {
	config := map[string]string{"value.converter": avroClass, "value.converter.schema.registry.url": "http://registry:8081"}
	maps.Copy(config, more)
	return config
}

func TestRegistryURL(t *testing.T) {
	play(t, func(s *scene) {
		s.refuse(map[string]string{"value.converter": avroClass}, http.StatusBadRequest, `Missing required configuration \"schema.registry.url\" which has no default value.`)
		s.refuse(withAvro(map[string]string{"value.converter.schema.registry.url": "registry:8081"}), http.StatusBadRequest,
			"Invalid value registry:8081 for configuration schema.registry.url: a registry URL starts with http:// or https:// and names a host")
	})
}

// TestRegistryIsAnotherServer skips nothing although every error is tolerated: no record is to blame.
func TestRegistryIsAnotherServer(t *testing.T) {
	play(t, func(s *scene) {
		s.schemas.change(func() { s.schemas.page = "<html>no such page" })
		s.produce("events", events(1, 1, 3)...)
		s.create(withAvro(map[string]string{"errors.tolerance": "all"}))
		s.failed(soon, "VALUE_CONVERTER events-0@0: read schema id 1: registry:8081 answers 404 Not Found (no schema registry, or not the path of one: check schema.registry.url)")
		s.schemas.change(func() { s.schemas.page = "" })
		s.restart()
		s.rows(3)
	})
}

func TestRegistryCredentials(t *testing.T) {
	play(t, func(s *scene) {
		s.schemas.change(func() { s.schemas.password = "right-word" })
		s.produce("events", events(1, 1, 3)...)
		login := map[string]string{
			"value.converter.basic.auth.credentials.source": "USER_INFO", "value.converter.basic.auth.user.info": "me:wrong-word",
			"errors.tolerance": "all", "errors.deadletterqueue.topic.name": "dlq", "errors.deadletterqueue.topic.replication.factor": "1",
		}
		s.create(withAvro(login))
		s.failed(soon, "the registry at registry:8081 does not accept the credentials (401)", "check basic.auth.credentials.source and basic.auth.user.info, or bearer.auth.token")
		if s.log.has("", "wrong-word") {
			s.Error("the log holds the password")
		}
		login["value.converter.basic.auth.user.info"] = "me:right-word"
		s.reconfigure(withAvro(login))
		s.rows(3)
		s.running()
	})
}

func TestUnknownSchemaID(t *testing.T) {
	play(t, func(s *scene) {
		s.produce("events", event(1, 1), event(7, 2), event(1, 3))
		s.create(withAvro(nil))
		s.failed(soon, "VALUE_CONVERTER events-0@1: schema id 7 is not in the registry at registry:8081 (the data may come from producers that use another registry: check schema.registry.url)")
		s.schemas.change(func() { s.schemas.texts[7] = eventSchema })
		s.restart()
		s.rows(3)
	})
}

// TestRegistryAway has the registry down for a minute in the middle, with errors.retry.timeout=0.
func TestRegistryAway(t *testing.T) {
	for _, tolerance := range []string{"none", "all"} {
		t.Run(tolerance, func(t *testing.T) {
			play(t, func(s *scene) {
				s.create(withAvro(map[string]string{"errors.tolerance": tolerance}))
				s.produce("events", events(1, 1, 3)...)
				s.rows(3)
				s.schemas.change(func() { s.schemas.down, s.schemas.texts[2] = true, eventSchema })
				s.produce("events", events(2, 4, 6)...)
				s.warned(soon, "a record cannot be read yet and is tried again", "events-0", "offset=3", "read schema id 2 from the schema registry: registry:8081: connect: connection refused")
				time.Sleep(time.Minute)
				s.running()
				if n := s.log.count("WARN", "a record cannot be read yet"); n > 5 {
					s.Errorf("%d warnings in a minute", n)
				}
				s.schemas.change(func() { s.schemas.down = false })
				s.rows(6)
				s.running()
			})
		})
	}
}

// TestRegistryGone does not come back in time.
func TestRegistryGone(t *testing.T) {
	play(t, func(s *scene) {
		s.schemas.change(func() { s.schemas.down = true })
		s.produce("events", events(1, 1, 3)...)
		s.create(withAvro(map[string]string{"errors.tolerance": "all"}))
		s.failed(15*time.Minute, "VALUE_CONVERTER events-0@0: read schema id 1 from the schema registry: registry:8081: connect: connection refused")
		s.schemas.change(func() { s.schemas.down = false })
		s.restart()
		s.rows(3)
	})
}
