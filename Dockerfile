# An image that can do all that jobkit can: workers, submitting, migrating. What runs is the command's arguments:
#
#   docker build --tag jobkit .
#   docker run jobkit worker transcode
#
# No server is in it, and no setting but where the health endpoint is. For plugins of your own see docs/deploying.md.
# Any base with Python 3.13 and apt does; `make image-test` builds on a plain Debian.
ARG BASE=python:3.13-slim-trixie

FROM ${BASE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
# For `strip`, below.
RUN apt-get update && apt-get install --yes --no-install-recommends binutils
RUN python3 -m venv /opt/jobkit
# Before the code, so that a change of the code does not install them again.
COPY requirements.txt /src/
# Left out, 85 MB: what only a debugger reads in extension modules, and what those were made from; what botocore knows of
# the 400 services that are neither S3 nor the way to log in there; and all languages that Pygments colours but two.
RUN /opt/jobkit/bin/pip install --no-deps --only-binary :all: --requirement /src/requirements.txt \
    && ln -s /opt/jobkit/lib/python3.*/site-packages/imageio_ffmpeg/binaries/ffmpeg-* /opt/jobkit/bin/ffmpeg \
    && find /opt/jobkit/lib -name '*.so' -exec strip --strip-unneeded {} + \
    && find /opt/jobkit/lib/python3.*/site-packages/botocore/data -mindepth 1 -maxdepth 1 -type d \
        ! -name s3 ! -name signin ! -name 'sso*' ! -name sts -exec rm -r {} + \
    && find /opt/jobkit/lib/python3.*/site-packages/pygments/lexers -type f \
        ! -name '__init__*' ! -name '_mapping*' ! -name 'data.*' ! -name 'python.*' ! -name 'special.*' -delete \
    && find /opt/jobkit/lib -type f \( -name '*.pyx' -o -name '*.pxd' -o -name '*.c' -o -name '*.h' \) -delete
COPY . /src/
# `check`: the pinned versions are all that is needed, and fit each other.
RUN /opt/jobkit/bin/pip install --no-deps /src \
    && /opt/jobkit/bin/pip check \
    && /opt/jobkit/bin/pip uninstall --yes pip

FROM ${BASE}
# tini, because process 1 has to reap what killed ffmpegs leave; it passes signals on, so SIGTERM drains.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends tini \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* \
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
