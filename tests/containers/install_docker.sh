#!/bin/sh
# Install Docker's engine, its builder and compose 2 from Debian's packages. As root, on Debian.
# bookworm has neither compose 2 nor the builder. trixie's packages run there, except runc.
set -eu
PATH=/usr/sbin:/usr/bin:/sbin:/bin
have() { command -v dockerd && docker compose version && docker buildx version; } >/dev/null 2>&1
# minbase systems are made by mmdebstrap; what is left runs the tests.
needed="iptables mmdebstrap runc tini util-linux"
if ! have; then
  folder=$(mktemp -d)
  trap 'rm -rf "$folder"' EXIT
  mkdir -p "$folder/lists/partial" "$folder/cache/archives/partial" "$folder/debs" "$folder/sources.d"
  # Debian comes from where this machine's own apt finds it.
  mirror=$(apt-get indextargets --format '$(REPO_URI)' | grep -v security | head -n 1)
  cat >"$folder/sources.d/trixie.sources" <<SOURCES
Types: deb
URIs: $mirror
Suites: trixie
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
SOURCES
  cat >"$folder/apt.conf" <<CONF
Dir::Etc::SourceList "/dev/null";
Dir::Etc::SourceParts "$folder/sources.d";
Dir::State::Lists "$folder/lists";
Dir::Cache "$folder/cache";
APT::Sandbox::User "root";
CONF
  (
    cd "$folder/debs"
    export APT_CONFIG="$folder/apt.conf"
    apt-get update -qq
    apt-get download -qq containerd docker-buildx docker-cli docker-compose docker.io
  )
  set -- "$folder"/debs/*.deb
else
  set --
fi
apt-get update -qq
# No service of the system: the tests start an engine of their own.
# shellcheck disable=SC2086
RUNLEVEL=1 apt-get install -y -qq --no-install-recommends $needed "$@"
have
