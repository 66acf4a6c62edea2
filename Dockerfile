# One image for all roles: serve, work, migrate, and Envoy with the configuration it prints.

FROM python:3.12-slim AS build
WORKDIR /app
RUN python -m venv /venv
ENV PATH=/venv/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
COPY requirements.lock .
RUN pip install --require-hashes -r requirements.lock
COPY pyproject.toml .
COPY generated generated
COPY src src
# Editable: the program finds `envoy/` and `generated/` beside `src/`.
RUN pip install --no-deps --no-build-isolation -e .

FROM python:3.12-slim
RUN useradd --uid 10001 --no-create-home --home-dir /data media \
    && install --directory --owner media --mode 0700 /data
WORKDIR /app
COPY --from=build /venv /venv
COPY generated generated
COPY src src
# Else each process would compile all it imports.
RUN /venv/bin/python -m compileall -q generated src
COPY envoy envoy
ENV PATH=/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 MEDIA_DATA_DIR=/data MEDIA_HOST=0.0.0.0
USER media
VOLUME /data
EXPOSE 50051 8080
ENTRYPOINT ["media-service"]
CMD ["serve"]
