// SPDX-License-Identifier: MIT

// The smallest reply, for bench/http: httpgo ADDRESS
package main

import (
	"net/http"
	"os"
)

func main() {
	body := []byte("Hello, world!\n")
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		w.Write(body)
	})
	if err := http.ListenAndServe(os.Args[1], nil); err != nil {
		os.Exit(1)
	}
}
