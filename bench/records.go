//go:build linux

package main

import (
	"encoding/binary"
	"math"
	"strconv"
	"time"
)

// A format is one way to write the records: web events of twelve fields, two of them in
// a nested one. Their content follows from their number alone.
type format struct {
	name      string
	converter map[string]string // of the connector
	encode    func(e *event, dst []byte) []byte
	schema    string // in the registry, under schemaID
}

const schemaID = 1

var formats = map[string]*format{ // read only
	"json": {
		name: "json", encode: (*event).json,
		converter: map[string]string{
			"value.converter":                "org.apache.kafka.connect.json.JsonConverter",
			"value.converter.schemas.enable": "false",
		},
	},
	"avro": {
		name: "avro", encode: (*event).avro, schema: eventSchema,
		converter: map[string]string{"value.converter": "io.confluent.connect.avro.AvroConverter"},
	},
}

const eventSchema = `{"type":"record","name":"Event","namespace":"bench","fields":[
{"name":"id","type":"long"},
{"name":"ts","type":{"type":"long","logicalType":"timestamp-millis"}},
{"name":"user_id","type":"string"},
{"name":"event","type":"string"},
{"name":"country","type":"string"},
{"name":"amount","type":"double"},
{"name":"qty","type":"int"},
{"name":"ok","type":"boolean"},
{"name":"session","type":"string"},
{"name":"page","type":"string"},
{"name":"device","type":{"type":"record","name":"Device","fields":[
{"name":"os","type":"string"},{"name":"ver","type":"int"}]}}]}`

type event struct {
	id, ts        int64 // ts: milliseconds
	user          uint64
	event         string
	country       string
	cents         int64
	qty           int64
	ok            bool
	session, page uint64
	os            string
	version       int64
}

var ( // read only
	events    = [...]string{"view", "click", "search", "purchase", "login", "logout", "share"}
	countries = [...]string{"DE", "US", "FR", "IN", "BR", "JP", "GB", "NL", "PL", "CA"}
	systems   = [...]string{"android", "ios", "windows", "macos", "linux"}
)

const firstMilli = 1_767_225_600_000 // 2026-01-01T00:00:00Z

// eventAt makes record i.
func eventAt(i int) event {
	h := mix(uint64(i))
	g := mix(h)
	return event{
		id: int64(i), ts: firstMilli + int64(i)*3,
		user: h % 1_000_000, event: events[h>>20%7], country: countries[h>>24%10],
		cents: int64(h >> 30 % 100_000), qty: int64(h >> 50 % 9), ok: h>>60&7 != 0,
		session: g, page: h >> 12 % 50_000, os: systems[g%5], version: int64(10 + g>>8%10),
	}
}

// mix is the output function of splitmix64.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// digits appends x with leading zeros.
func digits(dst []byte, x uint64, width int) []byte {
	var b [20]byte
	s := strconv.AppendUint(b[:0], x, 10)
	for range width - len(s) {
		dst = append(dst, '0')
	}
	return append(dst, s...)
}

func (e *event) userID(dst []byte) []byte { return digits(append(dst, "u-"...), e.user, 7) }

func (e *event) sessionID(dst []byte) []byte {
	const hex = "0123456789abcdef"
	for shift := 60; shift >= 0; shift -= 4 {
		dst = append(dst, hex[e.session>>shift&15])
	}
	return dst
}

func (e *event) pagePath(dst []byte) []byte {
	return strconv.AppendUint(append(dst, "/item/"...), e.page, 10)
}

func (e *event) json(dst []byte) []byte {
	dst = strconv.AppendInt(append(dst, `{"id":`...), e.id, 10)
	dst = time.UnixMilli(e.ts).UTC().AppendFormat(append(dst, `,"ts":"`...), "2006-01-02T15:04:05.000Z")
	dst = e.userID(append(dst, `","user_id":"`...))
	dst = append(append(dst, `","event":"`...), e.event...)
	dst = append(append(dst, `","country":"`...), e.country...)
	dst = strconv.AppendInt(append(dst, `","amount":`...), e.cents/100, 10)
	dst = digits(append(dst, '.'), uint64(e.cents%100), 2)
	dst = strconv.AppendInt(append(dst, `,"qty":`...), e.qty, 10)
	dst = strconv.AppendBool(append(dst, `,"ok":`...), e.ok)
	dst = e.sessionID(append(dst, `,"session":"`...))
	dst = e.pagePath(append(dst, `","page":"`...))
	dst = append(append(dst, `","device":{"os":"`...), e.os...)
	dst = strconv.AppendInt(append(dst, `","ver":`...), e.version, 10)
	return append(dst, "}}"...)
}

func (e *event) avro(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint32(append(dst, 0), schemaID)
	dst = binary.AppendVarint(dst, e.id)
	dst = binary.AppendVarint(dst, e.ts)
	var buf [64]byte
	dst = avroText(dst, e.userID(buf[:0]))
	dst = avroText(dst, append(buf[:0], e.event...))
	dst = avroText(dst, append(buf[:0], e.country...))
	dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(float64(e.cents)/100))
	dst = binary.AppendVarint(dst, e.qty)
	if e.ok {
		dst = append(dst, 1)
	} else {
		dst = append(dst, 0)
	}
	dst = avroText(dst, e.sessionID(buf[:0]))
	dst = avroText(dst, e.pagePath(buf[:0]))
	dst = avroText(dst, append(buf[:0], e.os...))
	return binary.AppendVarint(dst, e.version)
}

func avroText(dst, text []byte) []byte {
	return append(binary.AppendVarint(dst, int64(len(text))), text...)
}
