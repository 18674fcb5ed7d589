// Package parts starts real servers beside the code under test: a Kafka broker, a
// schema registry, S3, an Iceberg REST catalog, PostgreSQL, a Kerberos KDC and a Java
// Connect worker; and it has DuckDB, PyIceberg and Spark, which read tables back, and a
// client of the Connect REST API that others use.
//
// A part is installed from the public package registries (Maven, PyPI, Go modules) as
// the pinned files in this folder say, once per user: into the user's cache folder,
// under a name that holds the hash of those files. PostgreSQL alone comes from the
// system.
//
// Every server listens on 127.0.0.1, keeps its data where the caller says, has proven
// to be the one that was started before it is handed out, and is stopped by its own
// process group. An error that wraps [ErrMissing] says that the machine lacks
// something; any other is a failure.
//
// The package is for tests and benchmarks; nothing in it is part of the product.
package parts
