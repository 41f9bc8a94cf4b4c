# An image that can do all that jobkit can: workers, submitting, migrating. What runs is the command's arguments:
#
#   docker build --tag jobkit .
#   docker run jobkit worker transcode
#
# No server is in it, and no setting but where the health endpoint is. For plugins of your own see docs/deploying.md.
ARG BASE=python:3.11.13-slim-bookworm

FROM ${BASE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/jobkit
# Before the code, so that a change of the code does not install them again.
COPY requirements.txt /src/
RUN /opt/jobkit/bin/pip install --no-deps --only-binary :all: --requirement /src/requirements.txt
COPY . /src/
# `check`: the pinned versions are all that is needed, and fit each other.
RUN /opt/jobkit/bin/pip install --no-deps /src \
    && /opt/jobkit/bin/pip check \
    && /opt/jobkit/bin/pip uninstall --yes pip setuptools

FROM ${BASE}
# tini, because process 1 has to reap what killed ffmpegs leave; it passes signals on, so SIGTERM drains.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ffmpeg tini \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 jobkit \
    && useradd --uid 10001 --gid 10001 --home-dir /var/lib/jobkit --create-home --shell /usr/sbin/nologin jobkit
COPY --from=build /opt/jobkit /opt/jobkit
ENV PATH=/opt/jobkit/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    JOBKIT_HEALTH_HOST=0.0.0.0 \
    JOBKIT_HEALTH_PORT=8080
# By number, so that a runtime can tell that it is not root.
USER 10001:10001
WORKDIR /var/lib/jobkit
EXPOSE 8080
STOPSIGNAL SIGTERM
# Liveness only: a worker that waits for a backend is not ready, and restarting it would not help.
HEALTHCHECK --interval=30s --timeout=10s --start-period=30s --retries=3 CMD ["jobkit", "health"]
ENTRYPOINT ["tini", "--", "jobkit"]
CMD ["worker"]
