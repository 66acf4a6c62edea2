"""A foreign worker: blurs images with ffmpeg. It needs the URL of RabbitMQ, and nothing else.

pip install pika
python worker.py amqp://user:password@host:5672/vhost
"""

import hashlib
import json
import subprocess
import sys
import tempfile
import threading
import urllib.request
from pathlib import Path

import pika

FILTERS = {"blur": "gblur={}"}  # with "sigma=4.0", for example


def report(channel, name, **message):
    """Publishes a reply, and waits until the broker has it."""
    properties = pika.BasicProperties(content_type="application/json", delivery_mode=2)
    body = json.dumps(message)
    channel.basic_publish("media.replies", name, body, properties, mandatory=True)


def blur(job, folder):
    """Reads the original, writes the result, and describes it."""
    source, made = folder / "source", folder / "result.png"
    with urllib.request.urlopen(job["source"]["url"]) as answer:
        source.write_bytes(answer.read())
    steps = [step.split(":") for step in job["operations"]]
    filters = ",".join(FILTERS[name].format(*values) for name, *values in steps)
    ffmpeg = ["ffmpeg", "-loglevel", "error", "-i", source, "-vf", filters, made]
    subprocess.run(ffmpeg, check=True, timeout=600)
    data, target = made.read_bytes(), job["results"][0]
    put = urllib.request.Request(target["url"], data, {"Content-Type": "image/png"}, method="PUT")
    urllib.request.urlopen(put).close()
    return {
        **target,
        "contentType": "image/png",
        "sizeBytes": len(data),
        "width": int.from_bytes(data[16:20], "big"),
        "height": int.from_bytes(data[20:24], "big"),
        "sha256": hashlib.sha256(data).hexdigest(),
    }


def work(connection, channel, job):
    """Runs in a thread, so that the connection answers heartbeats."""

    def reply(name, **message):
        message["token"] = job["token"]
        connection.add_callback_threadsafe(lambda: report(channel, name, **message))

    done = threading.Event()

    def beat():
        while not done.wait(job["heartbeatSeconds"]):
            reply("media.progress", stage="blur", percent=50)

    threading.Thread(target=beat, daemon=True).start()
    try:
        with tempfile.TemporaryDirectory() as folder:
            reply("media.processed", results=[blur(job, Path(folder))])
    except Exception as error:
        broken = isinstance(error, (KeyError, subprocess.SubprocessError))
        code = "CANNOT_PROCESS" if broken else "UNREACHABLE"
        reply("media.failed", code=code, message=str(error)[:2000], retriable=not broken)
    finally:
        done.set()


def take(connection):
    def taken(channel, method, _, body):
        job = json.loads(body)
        report(channel, "media.progress", token=job["token"], stage="taken", percent=0)
        channel.basic_ack(method.delivery_tag)  # now, not when the job is done: see the protocol
        threading.Thread(target=work, args=(connection, channel, job), daemon=True).start()

    channel = connection.channel()
    channel.confirm_delivery()
    channel.basic_qos(prefetch_count=1)
    channel.basic_consume("media.process", taken)
    channel.start_consuming()


if __name__ == "__main__":
    take(pika.BlockingConnection(pika.URLParameters(sys.argv[1])))
