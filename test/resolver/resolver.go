// Package resolver is a name server on loopback, and the way to make a program ask it: the test says
// what each look-up of a name is answered.
package resolver

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
)

// An Answer is what the server says to one question for a name's IPv4 addresses. It has none of IPv6.
type Answer struct {
	Addresses []netip.Addr
	Code      byte // the response code, such as ServerFailure
	Silent    bool // no answer at all
}

// Response codes.
const (
	ServerFailure = 2
	NoSuchName    = 3
	refused       = 5
)

// A Resolver answers from Start to Close.
type Resolver struct {
	conn   net.PacketConn
	other  net.PacketConn // of a server that refuses all, which is named first: programs ask the next
	folder string

	mu    sync.Mutex
	names map[string]func(asked int) Answer
	asked map[string]int
}

// Start listens on port 53, the only one that programs ask, of a loopback address of its own, and
// keeps its files in the folder. Names are completed with the domain test. It needs the rights to do so and to mount.
func Start(folder string) (*Resolver, error) {
	if output, err := exec.Command("unshare", "--mount", "true").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("no mounts of one's own: %w: %s", err, output)
	}
	conn, err := listen()
	if err != nil {
		return nil, err
	}
	other, err := listen()
	if err != nil {
		conn.Close()
		return nil, err
	}
	r := &Resolver{conn: conn, other: other, folder: folder, names: map[string]func(int) Answer{}, asked: map[string]int{}}
	for name, text := range map[string]string{
		"resolv.conf":   "nameserver " + hostOf(other) + "\nnameserver " + hostOf(conn) + "\nsearch test\n",
		"nsswitch.conf": "hosts: files dns\n",
	} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o644); err != nil {
			r.Close()
			return nil, err
		}
	}
	go serve(conn, r.answer)
	go serve(other, func(question []byte) []byte { return message(question, Answer{Code: refused}) })
	return r, nil
}

func listen() (net.PacketConn, error) {
	return net.ListenPacket("udp", fmt.Sprintf("127.%d.%d.%d:53", 64+rand.IntN(128), rand.IntN(256), 1+rand.IntN(254)))
}

func hostOf(conn net.PacketConn) string { return conn.LocalAddr().(*net.UDPAddr).IP.String() }

// Close ends it.
func (r *Resolver) Close() {
	r.conn.Close()
	r.other.Close()
}

// Front is a command that makes the program behind it ask this server: it becomes that program, in
// a mount namespace in which the files that name a resolver are ours.
func (r *Resolver) Front() []string {
	return []string{"unshare", "--mount", "sh", "-c",
		`for f in resolv.conf nsswitch.conf; do mount --bind "$0/$f" "/etc/$f" || exit; done; exec "$@"`, r.folder}
}

// Set answers look-ups of a name from now on; asked counts them from 0.
func (r *Resolver) Set(name string, answer func(asked int) Answer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.names[name] = answer
}

// Asked counts the questions for a name's IPv4 addresses.
func (r *Resolver) Asked(name string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.asked[name]
}

func serve(conn net.PacketConn, reply func(question []byte) []byte) {
	question := make([]byte, 1500)
	for {
		n, from, err := conn.ReadFrom(question)
		if err != nil {
			return
		}
		// An answer may take its time, and others must not wait for it.
		go func(question []byte) {
			if answer := reply(question); answer != nil {
				_, _ = conn.WriteTo(answer, from)
			}
		}(bytes.Clone(question[:n]))
	}
}

const (
	headerLength = 12
	typeA        = 1
)

// answer is the message that answers a question; nil for none.
func (r *Resolver) answer(question []byte) []byte {
	name, end := nameOf(question)
	if end+4 > len(question) {
		return nil
	}
	kind := binary.BigEndian.Uint16(question[end:])
	a := r.say(name, kind)
	if a.Silent {
		return nil
	}
	return message(question, a)
}

func message(question []byte, a Answer) []byte {
	_, end := nameOf(question)
	if end+4 > len(question) {
		return nil
	}
	m := bytes.Clone(question[:end+4])
	m[2], m[3] = 0x81, 0x80|a.Code // an answer, recursion desired and available
	binary.BigEndian.PutUint16(m[6:], uint16(len(a.Addresses)))
	binary.BigEndian.PutUint32(m[8:], 0)
	for _, address := range a.Addresses {
		m = append(m, 0xc0, headerLength, 0, typeA, 0, 1, 0, 0, 0, 0, 0, 4) // the question's name, for 0 s
		m = append(m, address.AsSlice()...)
	}
	return m
}

func (r *Resolver) say(name string, kind uint16) Answer {
	r.mu.Lock()
	answer, known := r.names[name]
	asked := r.asked[name]
	if kind == typeA {
		r.asked[name]++
	}
	r.mu.Unlock()
	if !known {
		return Answer{Code: NoSuchName}
	}
	a := answer(asked)
	if kind != typeA {
		a.Addresses = nil
	}
	return a
}

// nameOf is the name that is asked for, and where in the message it ends.
func nameOf(message []byte) (string, int) {
	var labels []string
	at := headerLength
	for at < len(message) && message[at] != 0 {
		next := at + 1 + int(message[at])
		if next > len(message) {
			return "", len(message)
		}
		labels = append(labels, strings.ToLower(string(message[at+1:next])))
		at = next
	}
	return strings.Join(labels, "."), at + 1
}
