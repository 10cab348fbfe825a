package qan

import (
	"strconv"
	"strings"

	"minerva.dev/minerva"
)

// maxNumber is the highest number of a question.
const maxNumber = 1 << 53

// frame is one QAN message. The kind is Q(uestion), K (okay), E (known error), U(nknown error), C(ancel), or # (notification).
type frame struct {
	kind   byte
	number uint64
	body   minerva.Content
}

// parse returns the frame of a message, and whether the message is one.
func parse(message minerva.Content) (frame, bool) {
	text := message.Text()
	if text == "" {
		return frame{}, false
	}
	end := len(text) - 1
	kind := text[end]
	if kind == '#' {
		return frame{kind: kind, body: like(message, text[:end])}, true
	}
	digits := len(text[:end]) - len(strings.TrimRight(text[:end], "0123456789"))
	start := end - digits
	number, err := strconv.ParseUint(text[start:end], 10, 64)
	hasZero := digits > 1 && text[start] == '0'
	if err != nil || hasZero || number > maxNumber || !strings.ContainsRune("QKEUC", rune(kind)) {
		return frame{}, false
	}
	if kind == 'C' {
		return frame{kind: kind, number: number, body: like(message, "")}, start == 0
	}
	if start == 0 || text[start-1] != '|' {
		return frame{}, false
	}
	return frame{kind, number, like(message, text[:start-1])}, true
}

// encode returns the message of the frame.
func (f frame) encode() minerva.Content {
	switch f.kind {
	case '#':
		return like(f.body, f.body.Text()+"#")
	case 'C':
		return minerva.Text(strconv.FormatUint(f.number, 10) + "C")
	}
	return like(f.body, f.body.Text()+"|"+strconv.FormatUint(f.number, 10)+string(f.kind))
}

// like returns content of the same kind.
func like(content minerva.Content, data string) minerva.Content {
	if content.IsBinary() {
		return minerva.Binary([]byte(data))
	}
	return minerva.Text(data)
}
