// Package krb5 gets Kerberos tickets for services, in the name of one principal: by the
// keys of a keytab, or by a ticket-granting ticket that somebody else keeps fresh in a cache.
//
// It stands on the messages and the cryptography of gokrb5, and keeps the faults of the rest
// out: gokrb5 panics on broken files and answers, repeats keytabs in its errors, reads as much
// as a KDC says it sends, cannot be stopped meanwhile, and renews tickets in goroutines of its
// own. Here files and answers are bounded, a panic becomes an error, whoever asks can stop
// waiting, and a ticket is renewed when it is asked for. A [Login] may be used by many
// goroutines.
//
// The package does not speak GSSAPI or SASL, and it never asks for a password.
package krb5
