// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	cancelSamples      = 300
	cancelSmokeSamples = 3
	cancelHalfHead     = "HTTP/1.1 200 OK\r\nContent-"
	cancelHalfBody     = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab"
)

func cancelServe(c net.Conn, said string, there chan<- int) {
	defer c.Close()
	buf := make([]byte, 4096)
	if n, _ := c.Read(buf); n == 0 {
		return
	}
	if said != "" {
		io.WriteString(c, said)
	}
	there <- 1
	for {
		if _, err := c.Read(buf); err != nil {
			return
		}
	}
}

func cancelHTTP(b *bench, scheme, host, said string) {
	b.final = true
	b.n = cancelSamples
	if b.smoke {
		b.n = cancelSmokeSamples
	}
	there := make(chan int, 1)
	over := make(chan time.Time, 1)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fail("listen")
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go cancelServe(c, said, there)
		}
	}()
	// A name server that does not answer.
	resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		select {
		case there <- 1:
		default: // the other family's question
		}
		<-ctx.Done()
		return nil, ctx.Err()
	}}
	transport := &http.Transport{DialContext: (&net.Dialer{Resolver: resolver}).DialContext}
	client := &http.Client{Transport: transport}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	us := make([]float64, b.n)
	for i := range us {
		name := strings.Replace(host, "*", strconv.Itoa(i), 1) // a lookup under way is shared, and outlives its first caller
		url := scheme + "://" + net.JoinHostPort(name, port) + "/"
		ctx, cancel := context.WithCancel(context.Background())
		go func() {
			rq, _ := http.NewRequestWithContext(ctx, "GET", url, nil)
			r, err := client.Do(rq)
			if err == nil {
				_, err = io.ReadAll(r.Body)
				r.Body.Close()
			}
			if err == nil || ctx.Err() == nil {
				fail("the request did not end by its context: %v", err)
			}
			over <- time.Now()
		}()
		<-there
		time.Sleep(time.Millisecond) // what the server has said is read, and all wait
		from := time.Now()
		cancel()
		us[i] = float64((<-over).Sub(from)) / float64(time.Microsecond)
		select {
		case <-there:
		default:
		}
	}
	l.Close()
	slices.Sort(us)
	b.report(us[len(us)/2], "p50-us")
	b.report(us[len(us)*99/100], "p99-us")
}

var cancelEntries = []entry{
	{"CancelHttp/name", func(b *bench) { cancelHTTP(b, "http", "*.name.test", "") }, 0, 0},
	{"CancelHttp/tls", func(b *bench) { cancelHTTP(b, "https", "127.0.0.1", "") }, 0, 0},
	{"CancelHttp/answer", func(b *bench) { cancelHTTP(b, "http", "127.0.0.1", "") }, 0, 0},
	{"CancelHttp/head", func(b *bench) { cancelHTTP(b, "http", "127.0.0.1", cancelHalfHead) }, 0, 0},
	{"CancelHttp/body", func(b *bench) { cancelHTTP(b, "http", "127.0.0.1", cancelHalfBody) }, 0, 0},
}
