# In place of the official image of Python: Debian's Python 3.11, under its name.
FROM local/debian
RUN apt-get update \
 && apt-get install --yes --no-install-recommends \
      ca-certificates netbase tzdata python3.11 python3.11-venv python3.11-dev \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* \
 && ln -s /usr/bin/python3.11 /usr/local/bin/python3 && ln -s python3 /usr/local/bin/python
ENV LANG=C.UTF-8
# How pip of this machine finds packages.
COPY pip.conf /etc/pip.conf
COPY ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
CMD ["python3"]
