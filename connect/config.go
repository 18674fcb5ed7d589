package connect

// ConfigType is the type of a configuration key, spelled as Java's ConfigDef.Type.
type ConfigType string

// The types of keys.
const (
	TypeBoolean  ConfigType = "BOOLEAN"
	TypeString   ConfigType = "STRING"
	TypeInt      ConfigType = "INT"
	TypeShort    ConfigType = "SHORT"
	TypeLong     ConfigType = "LONG"
	TypeDouble   ConfigType = "DOUBLE"
	TypeList     ConfigType = "LIST"
	TypeClass    ConfigType = "CLASS"
	TypePassword ConfigType = "PASSWORD"
)

// Importance of a key, spelled as Java's ConfigDef.Importance.
type Importance string

// The importances.
const (
	High   Importance = "HIGH"
	Medium Importance = "MEDIUM"
	Low    Importance = "LOW"
)

// A ConfigKey declares one key, once: start-up checks, validate, --help and the
// reference page are printed from it.
type ConfigKey struct {
	Name       string
	Type       ConfigType
	Default    *string // nil: none
	Required   bool    // no default and must be given; !Required with a nil Default means null
	Importance Importance
	Doc        string
	Group      string // "" for none
	Order      int    // within the group; -1 for none
	Width      string // NONE, SHORT, MEDIUM, LONG; "" counts as NONE
	Display    string // "" counts as Name
	Dependents []string
	NotNull    bool // a null is an error, and so is what could not be parsed, once more: Java's range checks

	// Check looks at a value that has the right type, as text; its error is printed
	// after Java's "Invalid value V for configuration K: ". May be nil.
	Check func(value string) error
}

// A ConfigDef is the set of keys that a plugin knows, in the order of declaration.
type ConfigDef struct{ Keys []ConfigKey }

// A ConfigError blames one key. Message is a whole sentence in Java's wording.
type ConfigError struct{ Key, Message string }

func (e ConfigError) Error() string { return e.Message }
