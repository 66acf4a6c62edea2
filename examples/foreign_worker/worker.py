"""A foreign worker: blurs images with ffmpeg. It needs the URL of RabbitMQ, and nothing else.

pip install pika
python worker.py amqp://user:password@host:5672/vhost
"""

import hashlib
import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.request import Request, urlopen

import pika

FILTERS = {"blur": "gblur={}"}  # with "sigma=4.0", for example
DURABLE = pika.BasicProperties(content_type="application/json", delivery_mode=2)


def blur(job):
    """Reads the original, writes the result, and describes it."""
    with urlopen(job["source"]["url"]) as answer:
        original = answer.read()
    steps = [step.split(":") for step in job["operations"]]
    filters = ",".join(FILTERS[name].format(*values) for name, *values in steps)
    ffmpeg = f"ffmpeg -v error -i - -vf {filters} -c:v png -f image2pipe -".split()
    made = subprocess.run(ffmpeg, input=original, capture_output=True, check=True, timeout=600)
    png, result = made.stdout, job["results"][0]
    urlopen(Request(result["url"], png, {"Content-Type": "image/png"}, method="PUT")).close()
    size = {"width": int.from_bytes(png[16:20], "big"), "height": int.from_bytes(png[20:24], "big")}
    digest = hashlib.sha256(png).hexdigest()
    return {**result, **size, "contentType": "image/png", "sizeBytes": len(png), "sha256": digest}


def work(connection, channel, tag, job):
    def report(name, **message):
        body = json.dumps({"token": job["token"], **message})
        channel.basic_publish("media.replies", name, body, DURABLE, mandatory=True)

    report("media.progress", stage="taken", percent=0)
    channel.basic_ack(tag)  # now, not when the job is done: see the protocol
    with ThreadPoolExecutor() as pool:
        doing, beat = pool.submit(blur, job), time.monotonic()
        while not doing.done():
            connection.sleep(0.1)  # answers heartbeats of the broker
            if time.monotonic() - beat > job["heartbeatSeconds"]:
                report("media.progress", stage="blur", percent=50)
                beat = time.monotonic()
    try:
        report("media.processed", results=[doing.result()])
    except (KeyError, subprocess.SubprocessError) as error:
        report("media.failed", code="CANNOT_PROCESS", message=str(error)[:2000], retriable=False)
    except OSError as error:
        report("media.failed", code="UNREACHABLE", message=str(error)[:2000], retriable=True)


if __name__ == "__main__":
    with pika.BlockingConnection(pika.URLParameters(sys.argv[1])) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        while True:  # takes one job at a time, and leaves the others to other workers
            method, _, body = channel.basic_get("media.process")
            if method:
                work(connection, channel, method.delivery_tag, json.loads(body))
            else:
                connection.sleep(0.5)
