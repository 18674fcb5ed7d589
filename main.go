// Firn is a Kafka Connect worker for sinks in one binary, Apache Iceberg first.
package main

import "github.com/firn-io/firn/cli"

func main() { cli.Main(cli.Builtin()) }
