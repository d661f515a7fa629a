// SPDX-License-Identifier: MIT

// The Go twin of serve.c: serve echo|http P
package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime"
	"strconv"
)

func echo(c net.Conn) {
	buf := make([]byte, 1024)
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
		go echo(c)
	}
}

func serveHTTP(l net.Listener) {
	body := []byte("Hello, world!\n")
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		w.Write(body)
	})
	http.Serve(l, nil)
}

func main() {
	if len(os.Args) != 3 {
		os.Exit(2)
	}
	procs, err := strconv.Atoi(os.Args[2])
	if err != nil {
		os.Exit(2)
	}
	runtime.GOMAXPROCS(procs)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		os.Exit(1)
	}
	fmt.Println(l.Addr().(*net.TCPAddr).Port)
	if os.Args[1] == "http" {
		serveHTTP(l)
	} else {
		serveEcho(l)
	}
	os.Exit(1)
}
