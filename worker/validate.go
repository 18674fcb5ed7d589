package worker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"unicode/utf16"

	"github.com/firn-io/firn/connect"
	"github.com/firn-io/firn/connect/entities"
	"github.com/firn-io/firn/connect/javaregex"
	"github.com/firn-io/firn/internal/kafka"
)

// A validator checks connector configs against everything that this build knows. It
// holds no state and may be used by several goroutines.
type validator struct {
	config  *Config
	plugins *Plugins
	offline bool // connectors try nothing outside
}

// validation gathers the result: entries by key, in the order in which they are shown.
type validation struct {
	given  map[string]*string // with variables resolved
	config map[string]string  // given without the nulls
	infos  []connect.ConfigInfo
	at     map[string]int // key -> index in infos
	groups []string
	doubts []connect.ConfigError
	warned []connect.ConfigError
}

// validate checks a config and says what is wrong with each key; it fails only when
// there is no connector class to ask. ctx bounds what the connector checks outside.
func (v *validator) validate(ctx context.Context, given map[string]*string) (*connect.ConfigInfos, error) {
	r := &validation{given: maps.Clone(given), config: map[string]string{}, at: map[string]int{}}
	for k, value := range given {
		if value != nil {
			r.config[k] = *value
		}
	}
	resolved, hide, err := v.config.providers.reveal(r.config)
	if err != nil {
		return nil, err
	}
	r.config = resolved
	for k, value := range resolved {
		r.given[k] = &value
	}
	name, ok := r.config[keyConnectorClass]
	if !ok {
		return nil, entities.BadRequest("Connector config " + javaMap(given) + " contains no connector type")
	}
	_, newConnector, ok := v.plugins.connector(name)
	if !ok {
		return nil, v.plugins.unknownConnector(name)
	}
	connector := newConnector()

	r.define(v.framework(connector, r.config))
	r.recommend(v.plugins)
	r.transforms(v.plugins)
	r.define(connector.ConfigDef())
	r.nulls()
	v.cross(r)
	for _, e := range v.ask(ctx, connector, maps.Clone(r.config)) {
		r.blame(e.Key, e.Message)
	}
	if w, ok := connector.(connect.ConfigWarner); ok {
		for _, e := range w.Warnings(maps.Clone(r.config)) {
			r.warn(e.Key, e.Message)
		}
	}
	if s, ok := connector.(connect.SelfTester); ok {
		r.doubts = s.Doubts()
		for _, e := range r.doubts {
			r.warn(e.Key, e.Message)
		}
	}
	v.overrides(r)
	v.converter(r, "key.converter")
	v.converter(r, "value.converter")
	v.headerConverter(r)
	r.conceal(given, hide)
	return r.result(name), nil
}

// ask has the connector itself validate.
func (v *validator) ask(ctx context.Context, connector connect.SinkConnector, config map[string]string) []connect.ConfigError {
	if s, ok := connector.(connect.SelfTester); ok && v.offline {
		return s.Faults(config)
	}
	return connector.Validate(ctx, config)
}

// conceal shows variables instead of what they stand for, which is often a secret.
func (r *validation) conceal(given map[string]*string, hide *veil) {
	hide.configErrors(r.doubts)
	hide.configErrors(r.warned)
	for i := range r.infos {
		value := &r.infos[i].Value
		for n, e := range value.Errors {
			value.Errors[n] = hide.text(e)
		}
		if d := r.infos[i].Definition; d != nil {
			d.Documentation = hide.text(d.Documentation)
		}
		raw, resolved := given[value.Name], r.given[value.Name]
		if raw == nil || resolved == nil || *raw == *resolved {
			continue
		}
		value.Value = raw
		for n, e := range value.Errors {
			if *resolved != "" {
				value.Errors[n] = strings.ReplaceAll(e, *resolved, *raw)
			}
		}
	}
}

// framework is the definition of what every sink connector knows, with the defaults that
// this worker and this connector give it.
func (v *validator) framework(connector connect.Plugin, config map[string]string) *connect.ConfigDef {
	def := &connect.ConfigDef{Keys: sinkKeys()}
	for i := range def.Keys {
		k := &def.Keys[i]
		switch k.Name {
		case "connector.plugin.version":
			k.Default = new(connector.Version())
		case "key.converter":
			k.Default, k.Check = v.defaultConverter(v.config.KeyConverter), v.checkConverter
		case "value.converter":
			k.Default, k.Check = v.defaultConverter(v.config.ValueConverter), v.checkConverter
		case "header.converter":
			k.Default = new(simpleHeaderConverter)
		case "key.converter.plugin.version", "value.converter.plugin.version":
			name := config[strings.TrimSuffix(k.Name, ".plugin.version")]
			if name == "" {
				name = v.config.KeyConverter
				if strings.HasPrefix(k.Name, "value.") {
					name = v.config.ValueConverter
				}
			}
			if _, newConverter, ok := v.plugins.converter(name); ok {
				k.Default = new(newConverter().Version())
			}
		case "header.converter.plugin.version":
			k.Default = new(connect.APIVersion)
		}
	}
	return def
}

func (v *validator) defaultConverter(name string) *string {
	class, _, _ := v.plugins.converter(name)
	return &class
}

func (v *validator) checkConverter(value string) error {
	if _, _, ok := v.plugins.converter(value); !ok {
		return javaErrorf("Class %s could not be found.", value)
	}
	return nil
}

// recommend offers the classes and versions of this build.
func (r *validation) recommend(plugins *Plugins) {
	for i := range r.infos {
		value := &r.infos[i].Value
		switch {
		case strings.HasSuffix(value.Name, ".plugin.version") && r.infos[i].Definition.DefaultValue != nil:
			value.RecommendedValues = []string{*r.infos[i].Definition.DefaultValue}
		case value.Name == "key.converter", value.Name == "value.converter":
			value.RecommendedValues = classes(plugins.Converters)
		case value.Name == "header.converter":
			value.RecommendedValues = []string{simpleHeaderConverter}
		}
	}
}

// define validates the keys of a definition; a key that came before keeps its entry.
func (r *validation) define(def *connect.ConfigDef) {
	for _, info := range def.Validate(r.given) {
		if _, ok := r.at[info.Value.Name]; !ok {
			r.add(info)
		}
	}
	r.addGroups(def.Groups())
}

func (r *validation) add(info connect.ConfigInfo) {
	r.at[info.Value.Name] = len(r.infos)
	r.infos = append(r.infos, info)
}

func (r *validation) addGroups(groups []string) {
	for _, g := range groups {
		if !slices.Contains(r.groups, g) {
			r.groups = append(r.groups, g)
		}
	}
}

// blame adds an error to a key; one that no definition knows is shown all the same.
func (r *validation) blame(key, message string) {
	value := &r.entry(key).Value
	value.Errors = append(value.Errors, message)
}

// warn adds a warning to the documentation of a key, which is where clients show text that
// is no error: Java's answer has no other place for it.
func (r *validation) warn(key, message string) {
	r.warned = append(r.warned, connect.ConfigError{Key: key, Message: message})
	info := r.entry(key)
	if info.Definition == nil {
		info.Definition = (&connect.ConfigKey{Name: key, Type: connect.TypeString, Importance: connect.Low, Order: -1}).Info()
	}
	doc := &info.Definition.Documentation
	if *doc != "" {
		*doc = strings.TrimSuffix(*doc, ".") + ". "
	}
	*doc += "Warning: " + message
}

// entry finds the entry of a key, or adds one without a definition.
func (r *validation) entry(key string) *connect.ConfigInfo {
	at, ok := r.at[key]
	if !ok {
		at = len(r.infos)
		value := r.given[key]
		if value != nil && secret(key) {
			value = new("[hidden]")
		}
		r.add(connect.ConfigInfo{Value: connect.ValueInfo{Name: key, Value: value, RecommendedValues: []string{}, Errors: []string{}, Visible: true}})
	}
	return &r.infos[at]
}

// transforms defines the keys of each transformation under its alias.
func (r *validation) transforms(plugins *Plugins) {
	for _, alias := range (connect.Values{"": r.config[keyTransforms]}).List("") {
		prefix, group := keyTransforms+"."+alias+".", "Transforms: "+alias
		def := &connect.ConfigDef{Keys: []connect.ConfigKey{{
			Name: prefix + "type", Type: connect.TypeClass, Required: true, Importance: connect.High,
			Doc: "The class of the transformation " + alias + ".", Group: group, Width: "LONG", Display: "Transformation type for " + alias,
			Check: func(value string) error {
				if _, _, ok := plugins.transform(value); !ok {
					return javaErrorf("Class %s could not be found.", value)
				}
				return nil
			},
		}}}
		if _, newTransform, ok := plugins.transform(r.config[prefix+"type"]); ok {
			for i, k := range newTransform().ConfigDef().Keys {
				k.Name, k.Group, k.Order = prefix+k.Name, group, i+1
				def.Keys = append(def.Keys, k)
			}
		}
		r.define(def)
		if at, ok := r.at[prefix+"type"]; ok {
			r.infos[at].Value.RecommendedValues = append(r.infos[at].Value.RecommendedValues, classes(plugins.Transforms)...)
		}
		if _, ok := r.config[prefix+"predicate"]; ok {
			r.blame(prefix+"predicate", "Predicates are not in this build: leave out "+prefix+"predicate")
		} else if _, ok := r.config[prefix+"negate"]; ok {
			r.blame(prefix+"type", fmt.Sprintf("Config '%snegate' was provided but there is no config '%spredicate' defining a predicate to be negated.", prefix, prefix))
		}
	}
	for _, alias := range (connect.Values{"": r.config[keyPredicates]}).List("") {
		key := keyPredicates + "." + alias + ".type"
		r.blame(key, fmt.Sprintf("Invalid value %s for configuration %s: Class %s could not be found.", r.config[key], key, r.config[key]))
	}
}

func (r *validation) nulls() {
	for _, k := range slices.Sorted(maps.Keys(r.given)) {
		if r.given[k] == nil {
			r.blame(k, "Null value can not be supplied as the configuration value.")
		}
	}
}

// cross checks what concerns several keys of a sink.
func (v *validator) cross(r *validation) {
	topics, regex := topicsOf(r.config), strings.TrimSpace(r.config[keyTopicsRegex])
	dlq := strings.TrimSpace(r.config[keyDLQ])
	both := ""
	switch {
	case len(topics) > 0 && regex != "":
		both = "topics and topics.regex are mutually exclusive options, but both are set."
	case len(topics) == 0 && regex == "":
		both = "Must configure one of topics or topics.regex"
	}
	if both != "" {
		r.blame(keyTopics, both)
		r.blame(keyTopicsRegex, both)
	}
	if dlq != "" && slices.Contains(topics, dlq) {
		r.blame(keyTopics, fmt.Sprintf("The DLQ topic '%s' may not be included in the list of topics ('topics=[%s]') consumed by the connector", dlq, strings.Join(topics, ", ")))
	}
	if dlq != "" && regex != "" {
		if p, err := javaregex.Compile(regex); err == nil && p.Matches(dlq) {
			r.blame(keyTopicsRegex, fmt.Sprintf("The DLQ topic '%s' may not be matched by the regex for the topics ('topics.regex=%s') consumed by the connector", dlq, regex))
		}
	}
	if group := v.config.GroupID; group != "" {
		if r.config[overrideConsumer+"group.id"] == group {
			r.blame(overrideConsumer+"group.id", fmt.Sprintf("Consumer group %s conflicts with Connect worker group %s", group, group))
		} else if name := r.config[keyName]; "connect-"+name == group {
			r.blame(keyName, fmt.Sprintf("Consumer group for sink connector named %s conflicts with Connect worker group %s", name, group))
		}
	}
}

// overrides refuses client properties that the policy does not let the connector override,
// and those that no client here can work with. The dead-letter clients count only if there
// is a dead-letter topic.
func (v *validator) overrides(r *validation) {
	name := r.config[keyName]
	for _, key := range slices.Sorted(maps.Keys(r.config)) {
		if why := inJava(key, overrideConsumer, overrideProducer, overrideAdmin); why != "" {
			r.warn(key, why)
		}
	}
	v.client(r, overrideConsumer, prefixConsumer, v.config.sinkConsumer(name, 0, r.config))
	if strings.TrimSpace(r.config[keyDLQ]) != "" {
		v.client(r, overrideProducer, prefixProducer, v.config.deadLetterProducer(name, 0, r.config))
		v.client(r, overrideAdmin, prefixAdmin, v.config.admin("", r.config))
	}
}

// client checks the properties of one client, which come from the worker and, under prefix,
// from the connector.
func (v *validator) client(r *validation, prefix, workers string, props map[string]string) {
	own := stripped(r.config, prefix)
	for _, key := range slices.Sorted(maps.Keys(own)) {
		if !v.config.mayOverride(key) {
			r.blame(prefix+key, fmt.Sprintf("The '%s' policy does not allow '%s' to be overridden in the connector configuration.", v.config.OverridePolicy, key))
		}
	}
	_, err := kafka.NewConfig(props, nil)
	for _, e := range configErrors(err) {
		if _, ok := own[e.Key]; !ok {
			e.Message += " (by the worker's properties, " + workers + "*)"
		}
		r.blame(prefix+e.Key, e.Message)
	}
}

// configErrors lists what errors.Join put together; what is not about a key has none.
func configErrors(err error) (out []connect.ConfigError) {
	if j, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range j.Unwrap() {
			out = append(out, configErrors(e)...)
		}
		return out
	}
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[connect.ConfigError](err); ok {
		return []connect.ConfigError{{Key: e.Key, Message: err.Error()}}
	}
	return []connect.ConfigError{{Message: err.Error()}}
}

// converter validates the settings of a converter that the connector brings itself.
func (v *validator) converter(r *validation, key string) {
	name, given := r.config[key]
	if !given {
		return
	}
	class, newConverter, ok := v.plugins.converter(name)
	if !ok {
		return // blamed already
	}
	prefix := key + "."
	settings := map[string]*string{}
	for k, value := range r.given {
		if rest, ok := strings.CutPrefix(k, prefix); ok {
			settings[rest] = value
		}
	}
	converter := newConverter()
	def := withType(class, converter.ConfigDef())
	settings["converter.type"] = new(strings.TrimSuffix(key, ".converter"))
	faulty := false
	infos := def.Validate(settings)
	slices.SortStableFunc(infos, func(a, b connect.ConfigInfo) int {
		return javaBucket(a.Value.Name, len(infos)) - javaBucket(b.Value.Name, len(infos))
	})
	for _, info := range infos {
		if _, ok := r.at[prefix+info.Value.Name]; ok {
			continue
		}
		faulty = faulty || len(info.Value.Errors) > 0
		info.Definition.Name, info.Value.Name = prefix+info.Definition.Name, prefix+info.Value.Name
		r.add(info)
	}
	groups := def.Groups()
	slices.SortStableFunc(groups, func(a, b string) int { return javaBucket(a, len(groups)) - javaBucket(b, len(groups)) })
	r.addGroups(groups)
	if faulty {
		return
	}
	if err := converter.Configure(stripped(r.config, prefix), key == "key.converter"); err != nil {
		r.blame(key, fmt.Sprintf("Invalid value %s for configuration %s: %v", name, key, err))
	}
}

// withType adds the key that Kafka's own converters have and the framework sets.
func withType(class string, def *connect.ConfigDef) *connect.ConfigDef {
	if !strings.HasPrefix(class, "org.apache.kafka.") {
		return def
	}
	own := connect.ConfigKey{Name: "converter.type", Type: connect.TypeString, Required: true, Importance: connect.Low, Doc: "Whether keys or values are converted; the worker sets it."}
	return &connect.ConfigDef{Keys: append([]connect.ConfigKey{own}, def.Keys...)}
}

// javaBucket is the place of a text among n in a hash map of Java, in whose order the keys
// and the groups of converters come.
func javaBucket(text string, n int) int {
	var hash uint32
	for _, unit := range utf16.Encode([]rune(text)) {
		hash = 31*hash + uint32(unit)
	}
	buckets := uint32(16)
	for 4*n > 3*int(buckets) {
		buckets *= 2
	}
	return int((hash ^ hash>>16) % buckets)
}

func (v *validator) headerConverter(r *validation) {
	name, given := r.config["header.converter"]
	if !given || name == simpleHeaderConverter || strings.HasPrefix(simpleHeaderConverter, "org.apache.kafka.connect.storage."+name) {
		return
	}
	if _, _, ok := v.plugins.converter(name); !ok {
		r.blame("header.converter", fmt.Sprintf("Invalid value %s for configuration header.converter: Class %s could not be found.", name, name))
	}
}

// result counts the errors. Keys without a definition come first, as in Java's answer.
func (r *validation) result(name string) *connect.ConfigInfos {
	slices.SortStableFunc(r.infos, func(a, b connect.ConfigInfo) int {
		switch {
		case a.Definition == nil && b.Definition != nil:
			return -1
		case a.Definition != nil && b.Definition == nil:
			return 1
		}
		return 0
	})
	out := &connect.ConfigInfos{Name: name, Groups: r.groups, Configs: r.infos, Doubts: r.doubts, Warnings: r.warned}
	for _, info := range r.infos {
		out.ErrorCount += len(info.Value.Errors)
	}
	return out
}

// invalid is Java's answer to a config with errors, nil for one without.
func invalid(infos *connect.ConfigInfos) error {
	if infos.ErrorCount == 0 {
		return nil
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Connector configuration is invalid and contains the following %d error(s):", infos.ErrorCount)
	for _, info := range infos.Configs {
		for _, e := range info.Value.Errors {
			b.WriteString("\n" + e)
		}
	}
	b.WriteString("\nYou can also find the above list of errors at the endpoint `/connector-plugins/{connectorType}/config/validate`")
	return &entities.Error{Status: http.StatusBadRequest, Message: b.String()}
}

// definition is the answer of GET /connector-plugins/{plugin}/config: a connector's own
// keys, then those of the framework.
func (v *validator) definition(name string) ([]connect.KeyInfo, error) {
	plugin, ok := v.plugins.plugin(name)
	if !ok {
		return nil, entities.NotFound("Unknown plugin " + name + ".")
	}
	keys := plugin.ConfigDef().Keys
	if _, _, ok := v.plugins.connector(name); ok {
		own := len(keys)
		for _, k := range sinkKeys() {
			if k.Name == "connector.plugin.version" {
				k.Default = new(plugin.Version())
			}
			if !slices.ContainsFunc(keys[:own], func(o connect.ConfigKey) bool { return o.Name == k.Name }) {
				keys = append(slices.Clip(keys), k)
			}
		}
	}
	if class, _, ok := v.plugins.converter(name); ok {
		keys = withType(class, &connect.ConfigDef{Keys: keys}).Keys
	}
	infos := make([]connect.KeyInfo, len(keys))
	for i := range keys {
		infos[i] = *keys[i].Info()
	}
	return infos, nil
}

// javaMap prints a map as Java does, sorted here. Values of keys that look like secrets
// are hidden, because the text ends up in answers and logs.
func javaMap(m map[string]*string) string {
	var items []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		value := "null"
		if m[k] != nil {
			value = *m[k]
		}
		if secret(k) {
			value = "[hidden]"
		}
		items = append(items, k+"="+value)
	}
	return "{" + strings.Join(items, ", ") + "}"
}

// secret guesses from its name that a key holds a secret.
func secret(key string) bool {
	key = strings.ToLower(key)
	return slices.ContainsFunc([]string{"password", "secret", "credential", "token", "jaas", "auth", "ssl.keystore.key"}, func(s string) bool { return strings.Contains(key, s) })
}
