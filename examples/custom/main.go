// Custom is Firn with a transformation of your own: it has every command, and
// GET /connector-plugins lists what was added.
package main

import "github.com/firn-io/firn/cli"

func main() { cli.Main(cli.Builtin().With("com.example.DropTombstones", newDropTombstones)) }
