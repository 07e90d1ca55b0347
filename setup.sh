#!/bin/sh
# Sets the digit appliance up: on this computer to look at it or to test it, or on a Raspberry Pi.
set -eu

HERE=$(cd "$(dirname "$0")" && pwd)
PYTHON=${PYTHON:-python3}
APP=/opt/digits
COMMAND=/usr/local/bin/digits
CONFIG=/etc/digits/digits.toml
STATE=/var/lib/digits
UNITS="digits.service digits-retrain.service digits-retrain.timer digits-power.path digits-power.service digits-name.service"
AVAHI=/etc/avahi/services/digits.service

usage() {
	cat <<-'END'
		usage: ./setup.sh VERB

		  demo [OPTIONS]       run the appliance on sample pictures here; no Pi needed.
		                       OPTIONS go to 'digits run', as in: demo --port 8081
		  test [OPTIONS]       lint, type checks and tests. OPTIONS go to pytest
		  install              make this Raspberry Pi the appliance (as root); safe to run again
		  update               fetch the newest version into this checkout and install it (as root)
		  uninstall [--purge]  remove it again (as root); --purge removes settings and readings too
		  doctor               check camera, pins, libraries, network and disk

		PYTHON=python3.13 ./setup.sh test           uses that Python.
		PIP_CONSTRAINT=FILE ./setup.sh test         tests on the library versions in FILE only.
	END
}

say() { printf '%s\n' "$*"; }
err() {
	printf 'setup.sh: %s\n' "$*" >&2
	exit 1
}
have() { command -v "$1" >/dev/null 2>&1; }

# ---- on this computer ------------------------------------------------------------------------

demo() {
	ready_to_run
	cd "$HERE"
	# Not an installed appliance's settings and state: the demo is the same everywhere.
	exec "$RUN_WITH" -m appliance run --config /dev/null --state .demo \
		--camera folder:data/samples --leds none --host 127.0.0.1 "$@"
}

run_tests() {
	need_python
	make_venv test
	install_browser
	cd "$HERE"
	bin=$VENV/bin
	if [ -z "${PIP_CONSTRAINT:-}" ]; then
		# numpy's and Pillow's own type hints change: the newest are the ones that are checked.
		"$bin/ruff" check .
		"$bin/ruff" format --check .
		"$bin/mypy"
		if have shellcheck; then shellcheck setup.sh .ci/run systemd/digits-name; else say "no shellcheck here: left out"; fi
	fi
	"$bin/python" -m pytest "$@"
}

# Sets RUN_WITH to a Python that has the libraries: the system's own (a Pi's, from apt) or a venv's.
ready_to_run() {
	need_python
	if has_libraries "$PYTHON"; then
		RUN_WITH=$PYTHON
	else
		make_venv ""
		RUN_WITH=$VENV/bin/python
	fi
}

has_libraries() {
	"$1" -c 'import numpy, scipy, PIL, flask, gpiozero, waitress' 2>/dev/null
}

need_python() {
	if ! have "$PYTHON" && [ "$PYTHON" = python3 ]; then apt_or_advice python3; fi
	have "$PYTHON" || err "there is no '$PYTHON' here: leave PYTHON away, or name one that is"
	"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
		err "Python 3.11 or newer is needed, and '$PYTHON' is older: name one with PYTHON=python3.13 ./setup.sh …"
}

# Makes .venv-<version> with the project and an optional set of extras, and sets VENV.
make_venv() {
	VENV=$HERE/.venv-$("$PYTHON" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
	if [ -n "${PIP_CONSTRAINT:-}" ]; then VENV=$VENV-$(basename "$PIP_CONSTRAINT" .txt); fi
	for made in "$VENV" "$HERE/digit_appliance.egg-info" "$HERE"; do
		if [ -e "$made" ] && ! [ -w "$made" ]; then
			err "$made belongs to another user: run this as that user, or remove it first"
		fi
	done
	# Nothing to install again, and no network needed, until the list of libraries changes.
	stamp=$VENV/installed${1:+-$1}
	if [ -e "$stamp" ] && [ -z "$(find "$HERE/pyproject.toml" -newer "$stamp")" ]; then return; fi
	if ! "$VENV/bin/python" -m pip --version >/dev/null 2>&1; then
		"$PYTHON" -c 'import ensurepip' 2>/dev/null || apt_or_advice python3-venv
		say "making $VENV"
		# On a Pi numpy and the camera come from apt; a venv must see them.
		site=""
		if "$PYTHON" -c 'import numpy' 2>/dev/null && [ -f /etc/rpi-issue ]; then site=--system-site-packages; fi
		# shellcheck disable=SC2086  # no word at all when it is empty
		"$PYTHON" -m venv --clear $site "$VENV"
	fi
	say "installing the libraries into $VENV"
	"$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --editable "$HERE${1:+[$1]}"
	touch "$stamp"
}

# The browser tests draw on the page; without a browser they are skipped, and say so.
install_browser() {
	if have chromium && have chromedriver; then return; fi
	if have apt-get && [ "$(id -u)" = 0 ]; then
		apt_install chromium chromium-driver || say "no browser could be installed: its tests are skipped"
	else
		say "chromium and chromium-driver are not installed: the browser tests are skipped"
	fi
}

apt_or_advice() {
	if have apt-get && [ "$(id -u)" = 0 ]; then
		apt_install "$@"
	else
		err "$* is missing: run 'sudo apt install $*', then this command again"
	fi
}

apt_install() {
	say "installing from apt: $*"
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

# ---- on a Raspberry Pi -----------------------------------------------------------------------

install() {
	[ $# = 0 ] || err "install takes no options, and '$*' was given"
	need_root install
	have apt-get || err "install needs Debian or Raspberry Pi OS: there is no apt-get here"
	[ -d /run/systemd/system ] || err "install needs systemd, which does not run here"
	install_packages
	make_user
	copy_files
	write_config
	make_pin
	start_units
	port=$(wait_for_page) || {
		journalctl --no-pager -u digits.service -n 8 -o cat
		err "the page does not answer; above is what the service said last"
	}
	advertise "$port"
	fetch_mnist
	say ""
	say "The appliance runs. Its page: http://digits.local:$port or http://$(address):$port"
	say "$PIN"
	say "Settings: $CONFIG, then 'systemctl restart digits'. Checks: 'sudo digits doctor'."
}

install_packages() {
	apt_install python3 python3-numpy python3-scipy python3-pil python3-flask python3-waitress \
		avahi-daemon avahi-utils python3-gpiozero python3-segno python3-paho-mqtt libopenblas0
	# Only Raspberry Pi OS has all of these; elsewhere the folder camera and the page still work.
	for package in python3-lgpio python3-picamera2; do
		if apt-cache show "$package" >/dev/null 2>&1; then
			apt_install "$package"
		else
			say "$package is not in this system's archive: left out"
		fi
	done
}

make_user() {
	for group in video gpio; do
		getent group "$group" >/dev/null || groupadd --system "$group"
	done
	getent passwd digits >/dev/null ||
		useradd --system --user-group --home-dir "$STATE" --no-create-home --shell /usr/sbin/nologin digits
	usermod --append --groups video,gpio digits
}

copy_files() {
	rm -rf "$APP.new"
	mkdir -p "$APP.new"
	cp -R "$HERE/appliance" "$HERE/model" "$HERE/data" "$HERE/systemd" "$APP.new/"
	# The service may not write here, so what it would compile at each start is compiled now.
	python3 -m compileall -q "$APP.new"
	chmod -R a+rX "$APP.new"
	rm -rf "$APP.old"
	if [ -d "$APP" ]; then mv "$APP" "$APP.old"; fi
	mv "$APP.new" "$APP"
	rm -rf "$APP.old"
	printf '#!/bin/sh\nPYTHONPATH=%s exec python3 -P -m appliance "$@"\n' "$APP" >"$COMMAND.new"
	chmod 755 "$COMMAND.new"
	mv "$COMMAND.new" "$COMMAND"
	say "files: $APP and $COMMAND"
}

write_config() {
	if [ -e "$CONFIG" ]; then
		say "settings: $CONFIG is kept as it is"
		return
	fi
	mkdir -p "$(dirname "$CONFIG")"
	PYTHONPATH=$APP python3 -c 'from appliance.settings import template; print(template(), end="")' |
		sed "s|^#folder = .*|folder = \"$STATE\"|" >"$CONFIG.new"
	chmod 755 "$(dirname "$CONFIG")"
	chmod 644 "$CONFIG.new"
	mv "$CONFIG.new" "$CONFIG"
	say "settings: $CONFIG"
}

# Made before the service starts: it would write it into its log.
make_pin() {
	mkdir -p "$STATE"
	chown digits:digits "$STATE"
	PIN=$(runuser -u digits -- "$COMMAND" pin --state "$STATE")
}

start_units() {
	for unit in $UNITS; do
		cp "$HERE/systemd/$unit" /etc/systemd/system/
	done
	systemctl daemon-reload
	systemctl --quiet enable digits.service digits-retrain.timer digits-power.path digits-name.service
	systemctl reset-failed digits.service 2>/dev/null || true
	systemctl restart digits.service digits-retrain.timer digits-power.path digits-name.service
	say "units: $UNITS"
}

# Prints the port of the page when it answers; it is the settings' own, which may have been changed.
wait_for_page() {
	PYTHONPATH=$APP python3 -P - <<-'END'
		import sys, time, urllib.request
		from appliance.errors import SettingsError
		from appliance.settings import load
		try:
		    web = load(None).web
		except SettingsError as error:
		    sys.exit(f"setup.sh: {error}")
		for _ in range(60):
		    try:
		        urllib.request.urlopen(f"{web.local_url}/api/v1/health", timeout=5).close()
		        print(web.port)
		        sys.exit()
		    except OSError:
		        time.sleep(1)
		sys.exit(1)
	END
}

# The page among the LAN's web pages; avahi notices the file by itself.
advertise() {
	mkdir -p "$(dirname "$AVAHI")"
	sed "s|<port>8080<|<port>$1<|" "$HERE/systemd/digits.avahi.xml" >"$AVAHI.new"
	mv "$AVAHI.new" "$AVAHI"
}

fetch_mnist() {
	# Training needs it, reading does not: without a network the appliance is complete all the same.
	runuser -u digits -- "$COMMAND" data fetch --to "$STATE/mnist" ||
		say "MNIST is not here yet: the nightly training waits for it"
}

address() {
	found=$(hostname -I 2>/dev/null | cut -d' ' -f1) || found=""
	say "${found:-this machine}"
}

update() {
	[ $# = 0 ] || err "update takes no options, and '$*' was given"
	need_root update
	have git || err "update needs git: run 'apt install git', then this command again"
	say "fetching the newest version"
	# As the checkout's owner: git refuses another's, and root's files would be in its way.
	owner=$(stat -c %U "$HERE")
	runuser -u "$owner" -- git -C "$HERE" pull --ff-only ||
		err "the newest version could not be fetched; nothing was changed"
	exec "$HERE/setup.sh" install
}

uninstall() {
	case "$*" in
	"" | --purge) ;;
	*) err "uninstall knows --purge only, not '$*'" ;;
	esac
	need_root uninstall "$@"
	for unit in digits-name.service digits-power.path digits-power.service digits-retrain.timer digits-retrain.service digits.service; do
		systemctl --quiet disable --now "$unit" 2>/dev/null || true
		rm -f "/etc/systemd/system/$unit"
	done
	systemctl daemon-reload 2>/dev/null || true
	rm -rf "$APP" "$APP.new" "$APP.old" "$COMMAND" "$COMMAND.new" "$AVAHI"
	if [ "${1:-}" = --purge ]; then
		rm -rf "$STATE" "$(dirname "$CONFIG")"
		if getent passwd digits >/dev/null; then userdel digits; fi
		say "removed, with its settings, its readings and its user"
	else
		say "removed; kept: $(dirname "$CONFIG"), $STATE and the user digits (--purge removes them)"
	fi
	say "Packages from apt are left as they are."
}

need_root() {
	[ "$(id -u)" = 0 ] || err "$1 changes the system: run 'sudo ./setup.sh $*'"
}

doctor() {
	if [ -x "$COMMAND" ]; then
		exec "$COMMAND" doctor "$@"
	fi
	ready_to_run
	cd "$HERE"
	exec "$RUN_WITH" -m appliance doctor "$@"
}

main() {
	verb=${1:-}
	[ $# = 0 ] || shift
	case $verb in
	demo) demo "$@" ;;
	test) run_tests "$@" ;;
	install) install "$@" ;;
	update) update "$@" ;;
	uninstall) uninstall "$@" ;;
	doctor) doctor "$@" ;;
	"" | help | -h | --help) usage ;;
	*)
		usage >&2
		err "there is no verb '$verb'"
		;;
	esac
}

main "$@"
