// A conversation over REST and SSE. Go's standard library is enough.
// Needs BASE_URL and API_KEY in the environment.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

var base = os.Getenv("BASE_URL") + "/api/v1"

// APIError is the server's no: Code is for programs, Message for people.
type APIError struct {
	Status     int
	RetryAfter time.Duration
	Body       struct {
		Code    string         `json:"code"`
		Message string         `json:"message"`
		Details map[string]any `json:"details"`
	} `json:"error"`
	RequestID string `json:"requestId"`
}

func (e *APIError) Error() string {
	return fmt.Sprintf("%s: %s (request %s)", e.Body.Code, e.Body.Message, e.RequestID)
}

// Event is one server-sent event.
type Event struct{ ID, Name, Data string }

func request(method, path string, body any, headers map[string]string) (*http.Response, error) {
	var content io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		content = bytes.NewReader(text)
	}
	asked, err := http.NewRequest(method, base+path, content)
	if err != nil {
		return nil, err
	}
	asked.Header.Set("x-api-key", os.Getenv("API_KEY"))
	asked.Header.Set("content-type", "application/json")
	for name, value := range headers {
		asked.Header.Set(name, value)
	}
	response, err := http.DefaultClient.Do(asked)
	if err != nil {
		return nil, err
	}
	if response.StatusCode >= 400 {
		defer response.Body.Close()
		refusal := &APIError{Status: response.StatusCode, RetryAfter: time.Second}
		if seconds, err := strconv.Atoi(response.Header.Get("Retry-After")); err == nil {
			refusal.RetryAfter = time.Duration(seconds) * time.Second
		}
		if err := json.NewDecoder(response.Body).Decode(refusal); err != nil {
			return nil, err
		}
		return nil, refusal
	}
	return response, nil
}

// passes tells whether it makes sense to try again: not after what would only be refused again.
// Where a run has begun and failed, the same Idempotency-Key would only tell so again.
func passes(err error) bool {
	refusal, refused := err.(*APIError)
	if !refused {
		return true
	}
	_, begun := refusal.Body.Details["runId"]
	return !begun && (refusal.Status == 429 || refusal.Status == 503)
}

func idempotencyKey() string { return strconv.FormatInt(time.Now().UnixNano(), 36) }

// call tries again where that makes sense; the Idempotency-Key keeps it from happening twice.
func call(method, path string, body, answer any) error {
	headers := map[string]string{}
	if method == "POST" {
		headers["Idempotency-Key"] = idempotencyKey()
	}
	for attempt := 0; ; attempt++ {
		response, err := request(method, path, body, headers)
		if err != nil && passes(err) && attempt < 4 {
			wait := 100 * time.Millisecond << attempt
			if refusal, refused := err.(*APIError); refused {
				wait = refusal.RetryAfter
			}
			time.Sleep(wait)
			continue
		}
		if err != nil {
			return err
		}
		defer response.Body.Close()
		if answer == nil {
			return nil
		}
		return json.NewDecoder(response.Body).Decode(answer)
	}
}

// read hands over the events of a stream until the connection ends or handle returns true.
func read(body io.ReadCloser, handle func(Event) bool) (done bool) {
	defer body.Close()
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, 16<<20)
	var event Event
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch name {
		case "id":
			event.ID = value
		case "event":
			event.Name = value
		case "data":
			event.Data = value
		case "":
			if event.Data != "" && handle(event) {
				return true
			}
			event = Event{}
		}
	}
	return false
}

// stream sends a message; a lost connection is resumed after the last event, not sent again.
func stream(session, prompt string, handle func(Event)) error {
	method, path := "POST", "/sessions/"+session+"/messages"
	var body any = map[string]any{"prompt": prompt, "stream": true}
	headers := map[string]string{"Idempotency-Key": idempotencyKey()}
	for failures := 1; ; failures++ {
		response, err := request(method, path, body, headers)
		if err != nil && (!passes(err) || failures > 10) {
			return err
		}
		done := err == nil && read(response.Body, func(event Event) bool {
			last := event.ID
			if last == "" { // only `connected` has no number of its own
				var greeting struct{ LastEventID int }
				if json.Unmarshal([]byte(event.Data), &greeting) == nil {
					last = strconv.Itoa(greeting.LastEventID)
				}
			}
			// From here on it is enough to say how far we are.
			method, path, body = "GET", "/sessions/"+session+"/stream", nil
			headers = map[string]string{"Last-Event-ID": last}
			failures = 0
			handle(event)
			return event.Name == "complete" || event.Name == "error"
		})
		if done {
			return nil
		}
		wait := 100 * time.Millisecond << failures
		if wait > 5*time.Second {
			wait = 5 * time.Second
		}
		time.Sleep(wait)
	}
}

func main() {
	if os.Getenv("BASE_URL") == "" {
		base = "http://localhost:3050/api/v1"
	}
	var session struct{ SessionID string }
	create := map[string]any{"engine": "messages", "title": "From Go"}
	if err := call("POST", "/sessions", create, &session); err != nil {
		log.Fatal(err)
	}
	path := "/sessions/" + session.SessionID

	var reply struct{ Response string }
	if err := call("POST", path+"/messages", map[string]any{"prompt": "Hello"}, &reply); err != nil {
		log.Fatal(err)
	}
	fmt.Println("reply:", reply.Response)

	count := 0
	err := stream(session.SessionID, "Count to three.", func(event Event) {
		count++
		if event.Name == "complete" {
			var end struct{ Summary, CostUsd string }
			if json.Unmarshal([]byte(event.Data), &end) == nil {
				fmt.Println("streamed:", end.Summary, "cost:", end.CostUsd)
			}
		}
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("events:", count)

	err = call("POST", path+"/messages", map[string]any{"prompt": ""}, nil)
	if refusal, refused := err.(*APIError); refused {
		fmt.Println("refused:", refusal.Status, refusal.Body.Code)
	}
	if err := call("DELETE", path, nil, nil); err != nil {
		log.Fatal(err)
	}
}
