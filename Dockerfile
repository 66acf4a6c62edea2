# One image for all roles: serve, work, migrate, and Envoy with the configuration it prints.

FROM python:3.12-slim AS build
WORKDIR /app
RUN python -m venv /venv
ENV PATH=/venv/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
COPY requirements-runtime.lock .
RUN pip install --require-hashes -r requirements-runtime.lock
COPY requirements.lock .
COPY pyproject.toml .
COPY LICENSE .
COPY README.md .
COPY generated generated
COPY protos protos
COPY third_party third_party
COPY envoy envoy
COPY clients clients
COPY src src
# The build tool has the version of the lock file, and is gone afterwards. A constraint file takes no hashes for folders.
RUN grep -o '^[A-Za-z0-9._-]*==[^ ;]*' requirements.lock > /tmp/constraints.txt \
    && PIP_CONSTRAINT=/tmp/constraints.txt pip install --no-deps ./clients/python .
# Else each process would compile all it imports.
RUN python -m compileall -q /venv/lib

FROM python:3.12-slim
# Chinese, Japanese and Korean text in images, drawings and PDFs.
RUN apt-get update && apt-get install -y --no-install-recommends fonts-wqy-microhei && rm -rf /var/lib/apt/lists/*
RUN useradd --uid 10001 --no-create-home --home-dir /data media \
    && install --directory --owner media --mode 0700 /data
COPY --from=build /venv /venv
ENV PATH=/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 MEDIA_DATA_DIR=/data MEDIA_HOST=0.0.0.0
USER media
VOLUME /data
EXPOSE 50051 8080
ENTRYPOINT ["media-service"]
CMD ["serve"]
