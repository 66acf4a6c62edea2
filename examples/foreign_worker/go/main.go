// A foreign worker: negates images. It needs the URL of RabbitMQ, and nothing else.
//
//	go run . amqp://user:password@host:5672/vhost
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	_ "image/jpeg"
	"image/png"
	"log"
	"net/http"
	"os"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

type job struct {
	Token      string
	Operations []string
	Source     struct {
		URL string `json:"url"`
	}
	Results          []struct{ Rendition, URL string }
	HeartbeatSeconds int
}

// negate reads the original, writes the result, and describes it.
func negate(j job) (map[string]any, error) {
	if len(j.Operations) != 1 || j.Operations[0] != "negate" {
		return nil, fmt.Errorf("cannot do %v", j.Operations)
	}
	answer, err := http.Get(j.Source.URL)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	source, _, err := image.Decode(answer.Body)
	if err != nil {
		return nil, err
	}
	made := image.NewNRGBA(source.Bounds())
	for y := made.Rect.Min.Y; y < made.Rect.Max.Y; y++ {
		for x := made.Rect.Min.X; x < made.Rect.Max.X; x++ {
			c := color.NRGBAModel.Convert(source.At(x, y)).(color.NRGBA)
			made.SetNRGBA(x, y, color.NRGBA{255 - c.R, 255 - c.G, 255 - c.B, c.A})
		}
	}
	var file bytes.Buffer
	if err := png.Encode(&file, made); err != nil {
		return nil, err
	}
	size, target := file.Len(), j.Results[0]
	put, err := http.NewRequest(http.MethodPut, target.URL, &file)
	if err != nil {
		return nil, err
	}
	written, err := http.DefaultClient.Do(put)
	if err != nil {
		return nil, err
	}
	defer written.Body.Close()
	if written.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("PUT was answered %s", written.Status)
	}
	return map[string]any{
		"rendition": target.Rendition, "url": target.URL, "contentType": "image/png",
		"sizeBytes": size, "width": made.Rect.Dx(), "height": made.Rect.Dy(),
	}, nil
}

// reply publishes a message, and waits until the broker has it.
func reply(channel *amqp.Channel, name string, message map[string]any) {
	body, _ := json.Marshal(message)
	published := amqp.Publishing{ContentType: "application/json", DeliveryMode: amqp.Persistent, Body: body}
	confirmed, err := channel.PublishWithDeferredConfirm("media.replies", name, true, false, published)
	if err == nil {
		_, err = confirmed.WaitContext(context.Background())
	}
	if err != nil {
		log.Fatal(err) // the service gives the job to another worker
	}
}

func main() {
	connection, err := amqp.Dial(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	channel, _ := connection.Channel()
	_ = channel.Confirm(false)
	_ = channel.Qos(1, 0, false)
	jobs, err := channel.Consume("media.process", "", false, false, false, false, nil)
	if err != nil {
		log.Fatal(err)
	}
	for message := range jobs {
		var j job
		if json.Unmarshal(message.Body, &j) != nil {
			_ = message.Nack(false, false)
			continue
		}
		reply(channel, "media.progress", map[string]any{"token": j.Token, "stage": "taken"})
		_ = message.Ack(false) // now, not when the job is done: see the protocol
		beat := time.NewTicker(time.Duration(j.HeartbeatSeconds) * time.Second)
		done := make(chan struct{})
		go func() {
			for {
				select {
				case <-beat.C:
					reply(channel, "media.progress", map[string]any{"token": j.Token, "stage": "negate"})
				case <-done:
					beat.Stop()
					return
				}
			}
		}()
		result, err := negate(j)
		close(done)
		if err != nil {
			reply(channel, "media.failed", map[string]any{"token": j.Token, "code": "CANNOT_NEGATE", "message": err.Error()})
		} else {
			reply(channel, "media.processed", map[string]any{"token": j.Token, "results": []any{result}})
		}
	}
	log.Fatal("the connection is lost")
}
