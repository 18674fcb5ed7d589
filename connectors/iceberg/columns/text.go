package columns

// parseDate reads java.time's ISO_LOCAL_DATE, yyyy-MM-dd with a sign before years of
// more than four digits, as days since the epoch.
func parseDate(s string) (days int64, ok bool) {
	days, n := date(s)
	return days, n > 0 && n == len(s)
}

// date reads a date at the begin of s and returns its length, 0 if there is none.
func date(s string) (days int64, n int) {
	i, negative, signed := 0, false, false
	if len(s) > 0 && (s[0] == '+' || s[0] == '-') {
		i, negative, signed = 1, s[0] == '-', true
	}
	start := i
	var year int64
	for i < len(s) && s[i] >= '0' && s[i] <= '9' && i-start < 10 {
		year = year*10 + int64(s[i]-'0')
		i++
	}
	width := i - start
	if width < 4 || width > 4 && !signed || signed && !negative && width == 4 || len(s) < i+6 || s[i] != '-' || s[i+3] != '-' {
		return 0, 0
	}
	month, ok1 := twoDigits(s[i+1:])
	day, ok2 := twoDigits(s[i+4:])
	if negative {
		year = -year
	}
	if !ok1 || !ok2 || month < 1 || month > 12 || day < 1 || day > daysIn(year, month) {
		return 0, 0
	}
	return civilDays(year, month, day), i + 6
}

// parseTime reads ISO_LOCAL_TIME, HH:mm[:ss[.fraction]], as nanoseconds since midnight.
func parseTime(s string) (ns int64, ok bool) {
	ns, n := clock(s)
	return ns, n > 0 && n == len(s)
}

func clock(s string) (ns int64, n int) {
	if len(s) < 5 || s[2] != ':' {
		return 0, 0
	}
	hour, ok1 := twoDigits(s)
	minute, ok2 := twoDigits(s[3:])
	if !ok1 || !ok2 || hour > 23 || minute > 59 {
		return 0, 0
	}
	ns = (hour*60 + minute) * 60_000 * milli
	if len(s) < 8 || s[5] != ':' {
		return ns, 5
	}
	second, ok := twoDigits(s[6:])
	if !ok || second > 59 {
		return ns, 5
	}
	ns += second * 1000 * milli
	n = 8
	if n == len(s) || s[n] != '.' {
		return ns, n
	}
	n++
	unit := int64(100 * milli)
	for digits := 0; n < len(s) && s[n] >= '0' && s[n] <= '9' && digits < 9; digits++ {
		ns += unit * int64(s[n]-'0')
		unit /= 10
		n++
	}
	return ns, n
}

// parseTimestamp reads a date and a time with T or one blank between them and an
// optional offset (Z, +hh, +hhmm, +hh:mm), as days since the epoch and nanoseconds from
// there. With instant the offset counts, otherwise it is only checked.
func parseTimestamp(s string, instant bool) (days, ns int64, ok bool) {
	days, n := date(s)
	if n == 0 || n == len(s) || s[n] != 'T' && s[n] != ' ' && s[n] != 't' {
		return 0, 0, false
	}
	s = s[n+1:]
	if ns, n = clock(s); n == 0 {
		return 0, 0, false
	}
	offset, ok := zone(s[n:])
	if instant {
		ns -= offset * 60_000 * milli
	}
	return days, ns, ok
}

// zone reads an offset in minutes; no text is no offset. At most 18 hours.
func zone(s string) (minutes int64, ok bool) {
	switch {
	case s == "" || s == "Z" || s == "z":
		return 0, true
	case s[0] != '+' && s[0] != '-' || len(s) < 3:
		return 0, false
	}
	hour, ok := twoDigits(s[1:])
	if !ok {
		return 0, false
	}
	rest := s[3:]
	var minute int64
	if len(rest) == 3 && rest[0] == ':' {
		rest = rest[1:]
	}
	if rest != "" {
		if minute, ok = twoDigits(rest); !ok || len(rest) != 2 {
			return 0, false
		}
	}
	minutes = hour*60 + minute
	if minute > 59 || minutes > 18*60 {
		return 0, false
	}
	if s[0] == '-' {
		minutes = -minutes
	}
	return minutes, true
}

func twoDigits(s string) (int64, bool) {
	if len(s) < 2 || s[0] < '0' || s[0] > '9' || s[1] < '0' || s[1] > '9' {
		return 0, false
	}
	return int64(s[0]-'0')*10 + int64(s[1]-'0'), true
}

func daysIn(year, month int64) int64 {
	switch month {
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	case 4, 6, 9, 11:
		return 30
	}
	return 31
}

// civilDays counts days since 1970-01-01 in the proleptic Gregorian calendar. The
// year is made to begin in March, so that leap days end it; 400 years are 146,097
// days, and 719,468 days lie between 0000-03-01 and the epoch.
func civilDays(year, month, day int64) int64 {
	if month <= 2 {
		year--
		month += 12
	}
	era := year / 400
	if year < 0 {
		era = (year - 399) / 400
	}
	ofEra := year - era*400
	ofYear := (153*(month-3)+2)/5 + day - 1
	return era*146_097 + ofEra*365 + ofEra/4 - ofEra/100 + ofYear - 719_468
}
