package worker

import (
	"slices"
	"strconv"
	"strings"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/connect/javaregex"
)

// Names of connector keys that code reads.
const (
	keyName           = "name"
	keyConnectorClass = "connector.class"
	keyTasksMax       = "tasks.max"
	keyEnforce        = "tasks.max.enforce"
	keyTransforms     = "transforms"
	keyPredicates     = "predicates"
	keyTopics         = "topics"
	keyTopicsRegex    = "topics.regex"
	keyDLQ            = "errors.deadletterqueue.topic.name"
	keyTaskClass      = "task.class"

	groupCommon = "Common"
	groupErrors = "Error Handling"
)

// sinkKeys is what every sink connector can be configured with, and in what order it is
// shown. (Source: ConnectorConfig and SinkConnectorConfig of
// org.apache.kafka.connect.runtime, Kafka 4.3.)
func sinkKeys() []connect.ConfigKey {
	return []connect.ConfigKey{
		{Name: keyName, Type: connect.TypeString, Required: true, Importance: connect.High, Doc: "The name of the connector, unique in its Connect cluster.", Group: groupCommon, Order: 1, Width: "MEDIUM", Display: "Connector name", Check: checkName},
		{Name: keyConnectorClass, Type: connect.TypeString, Required: true, Importance: connect.High, Doc: "The class of the connector, by its full name or an alias: the simple name, with or without its suffix Connector.", Group: groupCommon, Order: 2, Width: "LONG", Display: "Connector class"},
		{Name: "connector.plugin.version", Type: connect.TypeString, Importance: connect.Medium, Doc: "The version of the connector class; there is one, the built-in.", Group: groupCommon, Order: 3, Width: "MEDIUM", Display: "Connector version"},
		{Name: keyTasksMax, Type: connect.TypeInt, Default: new("1"), NotNull: true, Importance: connect.High, Doc: "How many tasks the connector may have at most.", Group: groupCommon, Order: 4, Width: "SHORT", Display: "Tasks max", Check: atLeast(1)},
		{Name: keyEnforce, Type: connect.TypeBoolean, Default: new("true"), Importance: connect.Low, Doc: "Whether a connector that makes more tasks than tasks.max fails. Deprecated.", Group: groupCommon, Order: 5, Width: "SHORT", Display: "Enforce tasks max"},
		{Name: "key.converter", Type: connect.TypeClass, Importance: connect.Low, Doc: "The converter of record keys; without one the worker's, with the worker's settings.", Group: groupCommon, Order: 6, Width: "SHORT", Display: "Key converter class"},
		{Name: "key.converter.plugin.version", Type: connect.TypeString, Importance: connect.Low, Doc: "The version of the key converter; there is one, the built-in.", Group: groupCommon, Order: 7, Width: "SHORT", Display: "Key converter version"},
		{Name: "value.converter", Type: connect.TypeClass, Importance: connect.Low, Doc: "The converter of record values; without one the worker's, with the worker's settings.", Group: groupCommon, Order: 8, Width: "SHORT", Display: "Value converter class"},
		{Name: "value.converter.plugin.version", Type: connect.TypeString, Importance: connect.Low, Doc: "The version of the value converter; there is one, the built-in.", Group: groupCommon, Order: 9, Width: "SHORT", Display: "Value converter version"},
		{Name: "header.converter", Type: connect.TypeClass, Importance: connect.Low, Doc: "Accepted; headers reach a task as bytes.", Group: groupCommon, Order: 10, Width: "SHORT", Display: "Header converter class"},
		{Name: "header.converter.plugin.version", Type: connect.TypeString, Importance: connect.Low, Doc: "The version of the header converter; there is one, the built-in.", Group: groupCommon, Order: 11, Width: "SHORT", Display: "Header converter version"},
		{Name: keyTransforms, Type: connect.TypeList, Default: new(""), NotNull: true, Importance: connect.Low, Doc: "Aliases of the transformations that records go through, in this order.", Group: "Transforms", Order: 12, Width: "LONG", Display: "Transforms", Check: checkAliases},
		{Name: keyPredicates, Type: connect.TypeList, Default: new(""), NotNull: true, Importance: connect.Low, Doc: "Aliases of the predicates that transformations refer to.", Group: "Predicates", Order: 13, Width: "LONG", Display: "Predicates", Check: checkAliases},
		{Name: "config.action.reload", Type: connect.TypeString, Default: new("restart"), Importance: connect.Low, Doc: "What to do when a config provider's variables change: none or restart.", Group: groupCommon, Order: 14, Width: "MEDIUM", Display: "Reload Action", Check: oneOf("none", "restart")},
		{Name: "errors.retry.timeout", Type: connect.TypeLong, Default: new("0"), Importance: connect.Medium, Doc: "For how many milliseconds a failed conversion or transformation is tried again when that may help; 0 is not at all, -1 for ever.", Group: groupErrors, Order: 1, Width: "MEDIUM", Display: "Retry Timeout for Errors"},
		{Name: "errors.retry.delay.max.ms", Type: connect.TypeLong, Default: new("60000"), Importance: connect.Medium, Doc: "The longest pause between two tries, in milliseconds.", Group: groupErrors, Order: 2, Width: "MEDIUM", Display: "Maximum Delay Between Retries for Errors"},
		{Name: "errors.tolerance", Type: connect.TypeString, Default: new("none"), Importance: connect.Medium, Doc: "none: a record that fails ends the task; all: it is skipped.", Group: groupErrors, Order: 3, Width: "SHORT", Display: "Error Tolerance", Check: oneOfFold("none", "all")},
		{Name: "errors.log.enable", Type: connect.TypeBoolean, Default: new("false"), Importance: connect.Medium, Doc: "Whether every failed record is logged.", Group: groupErrors, Order: 4, Width: "SHORT", Display: "Log Errors"},
		{Name: "errors.log.include.messages", Type: connect.TypeBoolean, Default: new("false"), Importance: connect.Medium, Doc: "Whether such a log line names the record's topic, partition, offset and timestamp.", Group: groupErrors, Order: 5, Width: "SHORT", Display: "Log Error Details"},
		{Name: keyTopics, Type: connect.TypeList, Default: new(""), Importance: connect.High, Doc: "The topics to read.", Group: groupCommon, Order: 4, Width: "LONG", Display: "Topics"},
		{Name: keyTopicsRegex, Type: connect.TypeString, Default: new(""), Importance: connect.High, Doc: "A java.util.regex.Pattern: every topic whose whole name it matches is read. Exclusive with topics.", Group: groupCommon, Order: 4, Width: "LONG", Display: "Topics regex", Check: checkRegex},
		{Name: keyDLQ, Type: connect.TypeString, Default: new(""), Importance: connect.Medium, Doc: "The dead-letter topic, to which records go that failed; none if empty.", Group: groupErrors, Order: 6, Width: "MEDIUM", Display: "Dead Letter Queue Topic Name"},
		{Name: "errors.deadletterqueue.topic.replication.factor", Type: connect.TypeShort, Default: new("3"), Importance: connect.Medium, Doc: "Replication of the dead-letter topic when it is created.", Group: groupErrors, Order: 7, Width: "MEDIUM", Display: "Dead Letter Queue Topic Replication Factor"},
		{Name: "errors.deadletterqueue.context.headers.enable", Type: connect.TypeBoolean, Default: new("false"), Importance: connect.Medium, Doc: "Whether dead letters carry headers __connect.errors.* that say where they come from and what failed.", Group: groupErrors, Order: 8, Width: "MEDIUM", Display: "Enable Error Context Headers"},
	}
}

func checkName(value string) error {
	if value == "" {
		return javaErrorf("String may not be empty")
	}
	var control []string
	for _, r := range value {
		if r < ' ' || r >= 0x7F && r <= 0x9F {
			control = append(control, strconv.Itoa(int(r)))
		}
	}
	if control != nil {
		return javaErrorf("String may not contain control sequences but had the following ASCII chars: %s", strings.Join(control, ", "))
	}
	return nil
}

func checkAliases(value string) error {
	aliases := connect.SplitList(value)
	if slices.Contains(aliases, "") {
		return javaErrorf("Empty alias provided.")
	}
	slices.Sort(aliases)
	if len(slices.Compact(aliases)) != len(connect.SplitList(value)) {
		return javaErrorf("Duplicate alias provided.")
	}
	return nil
}

func checkRegex(value string) error {
	if value == "" {
		return nil
	}
	if _, err := javaregex.Compile(value); err != nil {
		return javaErrorf("Invalid regex: %v", err)
	}
	return nil
}

// topicsOf reads the list of topics: without empty items, each once.
func topicsOf(config map[string]string) []string {
	var topics []string
	for _, t := range (connect.Values{"": config[keyTopics]}).List("") {
		if !slices.Contains(topics, t) {
			topics = append(topics, t)
		}
	}
	return topics
}
