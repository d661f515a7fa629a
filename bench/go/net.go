// SPDX-License-Identifier: MIT

package main

import (
	"io"
	"net"
	"sync"
)

const message = 64

func echoConn(c net.Conn) {
	buf := make([]byte, 4096)
	for {
		n, err := c.Read(buf)
		if err != nil {
			break
		}
		if _, err := c.Write(buf[:n]); err != nil {
			break
		}
	}
	c.Close()
}

func serveEcho(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go echoConn(c)
	}
}

func echoTCP(b *bench) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fail("listen")
	}
	go serveEcho(l)
	var wg, ready sync.WaitGroup
	start := make(chan struct{})
	ready.Add(int(b.arg))
	for i := int64(0); i < b.arg; i++ {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			fail("dial")
		}
		n := b.n / b.arg
		if i < b.n%b.arg {
			n++
		}
		wg.Add(1)
		go func() {
			out, in := make([]byte, message), make([]byte, message)
			trip := func(v byte) {
				out[0] = v
				if _, err := c.Write(out); err != nil {
					fail("no echo")
				}
				if _, err := io.ReadFull(c, in); err != nil || in[0] != v {
					fail("no echo")
				}
			}
			trip(1)
			ready.Done()
			<-start
			for k := int64(0); k < n; k++ {
				trip(byte(k))
			}
			c.Close()
			wg.Done()
		}()
	}
	ready.Wait()
	b.reset()
	close(start)
	wg.Wait()
	b.stop()
	l.Close()
}

func connectTCP(b *bench) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fail("listen")
	}
	go serveEcho(l)
	b.reset()
	buf := make([]byte, message)
	for i := int64(0); i < b.n; i++ {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			fail("dial")
		}
		if _, err := c.Write(buf); err != nil {
			fail("no echo")
		}
		if _, err := io.ReadFull(c, buf); err != nil {
			fail("no echo")
		}
		c.Close()
	}
	b.stop()
	l.Close()
}

var netEntries = []entry{
	{"EchoTCP/conns=1", echoTCP, 1, 0},
	{"EchoTCP/conns=64", echoTCP, 64, 0},
	{"EchoTCP/conns=2000", echoTCP, 2000, 0},
	{"ConnectTCP", connectTCP, 0, 0},
}
