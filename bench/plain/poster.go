package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"sync"
)

type poster struct {
	url    string
	atOnce int
	client *http.Client
}

func newPoster(url string, atOnce int) *poster {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	// The default of 2 would close nearly every connection after one request.
	transport.MaxIdleConns, transport.MaxIdleConnsPerHost = atOnce, atOnce
	return &poster{url, atOnce, &http.Client{Transport: transport}}
}

func (p *poster) post(body []byte) error {
	answer, err := p.client.Post(p.url, "application/json", bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", answer.StatusCode)
	}
	return nil
}

// postMany posts count bodies as large as an event's.
func (p *poster) postMany(count int) error {
	body := bytes.Repeat([]byte("x"), 256)
	failed := make(chan error, p.atOnce)
	var all sync.WaitGroup
	for i := range p.atOnce {
		all.Go(func() {
			for n := i; n < count; n += p.atOnce {
				if err := p.post(body); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	all.Wait()
	close(failed)
	return <-failed
}
