package connect

// KeyInfo is the public form of a ConfigKey: an element of
// GET /connector-plugins/{plugin}/config and the definition within a ConfigInfo.
type KeyInfo struct {
	Name          string   `json:"name"`
	Type          string   `json:"type"`
	Required      bool     `json:"required"`
	DefaultValue  *string  `json:"default_value"`
	Importance    string   `json:"importance"`
	Documentation string   `json:"documentation"`
	Group         *string  `json:"group"`
	OrderInGroup  int      `json:"order_in_group"` // -1 for none; before Kafka 4.3 it was called order
	Width         string   `json:"width"`
	DisplayName   string   `json:"display_name"`
	Dependents    []string `json:"dependents"`
}

// ValueInfo is a value under validation and what is wrong with it.
type ValueInfo struct {
	Name              string   `json:"name"`
	Value             *string  `json:"value"`
	RecommendedValues []string `json:"recommended_values"`
	Errors            []string `json:"errors"`
	Visible           bool     `json:"visible"`
}

// ConfigInfo is one key of a validation result. Definition is nil for a key that no
// definition knows and that is wrong all the same.
type ConfigInfo struct {
	Definition *KeyInfo  `json:"definition"`
	Value      ValueInfo `json:"value"`
}

// ConfigInfos is the result of a validation, as
// PUT /connector-plugins/{plugin}/config/validate answers it.
type ConfigInfos struct {
	Name       string       `json:"name"`
	ErrorCount int          `json:"error_count"`
	Groups     []string     `json:"groups"`
	Configs    []ConfigInfo `json:"configs"`

	// Doubts are those of a [SelfTester].
	Doubts []ConfigError `json:"-"`
	// Warnings are everything that is no error; clients read them in the documentation.
	Warnings []ConfigError `json:"-"`
}

// Info is the public form of the key. The default of a password is hidden.
func (k *ConfigKey) Info() *KeyInfo {
	info := &KeyInfo{
		Name: k.Name, Type: string(k.Type), Required: k.Required, DefaultValue: k.Default,
		Importance: string(k.Importance), Documentation: k.Doc,
		OrderInGroup: k.Order, Width: k.Width, DisplayName: k.Display, Dependents: k.Dependents,
	}
	if k.Group != "" {
		info.Group = &k.Group
	} else {
		info.OrderInGroup = -1
	}
	if k.Type == TypePassword && k.Default != nil {
		info.DefaultValue = new(hidden)
	}
	if info.Width == "" {
		info.Width = "NONE"
	}
	if info.DisplayName == "" {
		info.DisplayName = k.Name
	}
	if info.Dependents == nil {
		info.Dependents = []string{}
	}
	return info
}

// Groups lists the groups of the keys, each once, in order of appearance.
func (d *ConfigDef) Groups() []string {
	var groups []string
	seen := map[string]bool{"": true}
	for _, k := range d.Keys {
		if !seen[k.Group] {
			seen[k.Group] = true
			groups = append(groups, k.Group)
		}
	}
	return groups
}
