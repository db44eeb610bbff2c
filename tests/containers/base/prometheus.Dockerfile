# In place of the official image of Prometheus: Debian's, with the same user, volume and wget.
FROM local/debian
RUN apt-get update \
 && apt-get install --yes --no-install-recommends busybox ca-certificates prometheus \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /etc/prometheus \
 && ln -s /bin/busybox /usr/bin/wget \
 && mkdir -p /etc/prometheus /prometheus && chown nobody /etc/prometheus /prometheus
USER nobody
VOLUME /prometheus
WORKDIR /prometheus
ENTRYPOINT ["/bin/prometheus"]
