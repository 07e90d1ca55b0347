#!/bin/sh
# Sets the digit appliance up: on this computer to look at it or to test it, or on a Raspberry Pi.
set -eu

HERE=$(cd "$(dirname "$0")" && pwd)
PYTHON=${PYTHON:-python3}
APP=/opt/digits
RELEASES=$APP/releases
CURRENT=$APP/current
# Names the release to go back to while another is not yet known to be good.
TRYING=$APP/trying
# The owner's PIN was made, and has not been shown yet.
UNTOLD=$APP/untold
PARTS="appliance model data systemd"
COMMAND=/usr/local/bin/digits
CONFIG=/etc/digits/digits.toml
GROUPS_MADE=/etc/digits/made-groups
STATE=/var/lib/digits
UNITS=/etc/systemd/system
AVAHI=/etc/avahi/services/digits.service
PACKAGES="python3 python3-numpy python3-scipy python3-pil python3-flask python3-waitress
	avahi-daemon avahi-utils python3-gpiozero python3-segno python3-paho-mqtt
	python3-prometheus-client python3-tomlkit"
# Not every archive has these, and it reads without them: Raspberry Pi OS has all of them, Debian no
# camera, and for ARMv6 (armel) neither pins nor OpenBLAS.
OTHER_PACKAGES="libopenblas0 python3-lgpio python3-picamera2"
DRY="" YES="" IMAGE="" REST="" CHANGES=0 LISTS_NEW=""
OPTIONS="--dry-run and --yes"

usage() {
	cat <<-'END'
		usage: ./setup.sh VERB

		  demo [OPTIONS]       run the appliance on sample pictures here; no Pi needed.
		                       OPTIONS go to 'digits run', as in: demo --port 8081
		  test [OPTIONS]       lint, type checks and tests. OPTIONS go to pytest
		  test --quick         lint and the tests that are not slow, in about a minute
		  install [--image]    make this Raspberry Pi the appliance (as root); safe to run again.
		                       --image is for a card that is not running: docs/image.md
		  update               fetch the newest version into this checkout and install it (as root);
		                       one that does not run gives way to the one before
		  uninstall [--purge]  remove it again (as root); --purge removes settings and readings too
		  backup FILE          write settings, captures, history and networks to one file
		  restore FILE         put a backup in the place of what is there (as root)
		  doctor               check camera, pins, libraries, network and disk

		With --dry-run install, update and uninstall print every change and make none; with --yes
		they ask nothing.
		PYTHON=python3.13 ./setup.sh test           uses that Python.
		PIP_CONSTRAINT=FILE ./setup.sh test         tests on the library versions in FILE only.
	END
}

# A terminal that has gone is no reason to stop half-way.
say() { printf '%s\n' "$*" || true; }
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
	# As in systemd/digits.service: large arrays go back to the system when they are free.
	export MALLOC_MMAP_THRESHOLD_=524288 MALLOC_TRIM_THRESHOLD_=1048576 MALLOC_ARENA_MAX=2
	exec "$RUN_WITH" -m appliance run --config /dev/null --state .demo \
		--camera folder:data/samples --leds none --host 127.0.0.1 "$@"
}

run_tests() {
	need_python
	make_venv test
	cd "$HERE"
	bin=$VENV/bin
	if [ "${1:-}" = --quick ]; then
		shift
		"$bin/ruff" check .
		"$bin/ruff" format --check .
		"$bin/python" -m pytest -m "not slow" -n auto --dist loadfile "$@"
		return
	fi
	install_browser
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
	"$1" -c 'import numpy, scipy, PIL, flask, gpiozero, waitress, prometheus_client' 2>/dev/null
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
		apt_install "$@" || err "apt could not install $*: above is what it said"
	else
		err "$* is missing: run 'sudo apt install $*', then this command again"
	fi
}

apt_install() {
	say "installing from apt: $*"
	apt_get update && apt_get install "$@" >/dev/null
}

# Debian's own daily apt may be at work, above all after a first start: it is waited for.
apt_get() {
	apt_verb=$1
	shift
	apt_said=$(mktemp)
	apt_tries=0
	until DEBIAN_FRONTEND=noninteractive apt-get "$apt_verb" -y -qq --no-install-recommends \
		-o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confold "$@" 2>"$apt_said"; do
		apt_tries=$((apt_tries + 1))
		if [ "$apt_tries" -gt 60 ] || ! grep -q 'Could not get lock' "$apt_said"; then
			cat "$apt_said" >&2
			rm -f "$apt_said"
			return 1
		fi
		[ "$apt_tries" != 1 ] || say "another apt is at work: waiting for its end" >&2
		sleep 5
	done
	rm -f "$apt_said"
}

# ---- on a Raspberry Pi -----------------------------------------------------------------------
#
# Whatever is written gets its name last, by a rename: a run that is cut off leaves the old or the
# new, and the next run finds out by itself what is still to do.

make_appliance() {
	look_around
	[ -n "$DRY" ] || wait_for_turn
	finish_apt
	install_packages
	make_user
	keep_flat_release
	lay_release
	keep_settings
	if [ -n "$IMAGE" ]; then
		put_image
		return
	fi
	make_pin
	switch_release
	advertise
	fetch_mnist
	tell_end
}

no_more_options() {
	[ $# = 0 ] || err "$VERB knows $OPTIONS only, and '$*' was given"
}

# Does a change and says it first; with --dry-run it only says it.
change() {
	CHANGES=$((CHANGES + 1))
	if [ -n "$DRY" ]; then
		say "would do: $1"
	else
		say "$1"
		shift
		"$@"
	fi
}

# ---- before the first change

look_around() {
	PROBLEMS=0
	if [ "$(id -u)" != 0 ] && [ -z "$DRY" ]; then err "this changes the system: run 'sudo ./setup.sh $VERB'"; fi
	look_at_system
	look_at_room
	if [ "$(date +%Y)" -lt 2025 ]; then
		problem "the clock shows $(date +%Y-%m-%d), which cannot be: connect the network and wait until" \
			"'timedatectl' says synchronized, or set it with 'date -s', then run this again"
	fi
	if [ -n "$(missing_packages)" ]; then look_for_archive; fi
	look_at_hardware
	if [ "$PROBLEMS" != 0 ]; then
		[ -n "$DRY" ] || err "nothing was changed"
		say "It would stop here. If it did not:"
	fi
}

problem() {
	PROBLEMS=$((PROBLEMS + 1))
	printf 'setup.sh: %s\n' "$*" >&2
}

look_at_system() {
	# shellcheck source=/dev/null
	system=$(. /etc/os-release 2>/dev/null && printf '%s %s' "${ID:-}" "${VERSION_CODENAME:-}") || system=""
	case $system in
	"debian bookworm" | "debian trixie" | "raspbian bookworm" | "raspbian trixie") ;;
	*) problem "this system is '${system:-unknown}': it needs Raspberry Pi OS or Debian, bookworm or trixie" ;;
	esac
	case $(uname -m) in
	armv6l | armv7l | armv8l | aarch64 | x86_64) ;;
	*) problem "the processor is '$(uname -m)': it needs armv6l, armv7l, aarch64 or x86_64" ;;
	esac
	have apt-get || problem "there is no apt-get here: it needs Raspberry Pi OS or Debian"
	if [ -z "$IMAGE" ] && ! [ -d /run/systemd/system ]; then
		problem "systemd does not run here: start the system with it, or use 'install --image' for a card" \
			"that is not running"
	fi
}

look_at_room() {
	# The packages take most of it; without them it is the new release beside the old.
	if [ -n "$(missing_packages)" ]; then needed=500; else needed=50; fi
	for folder in /opt /var; do
		[ -d "$folder" ] || folder=/
		free=$(($(df -Pk "$folder" | awk 'NR == 2 {print $4}') / 1000))
		[ "$free" -ge "$needed" ] ||
			problem "$folder has $free MB free, and $needed MB are needed: make room, 'sudo apt clean' may help"
	done
	memory=$(($(awk '/^MemTotal:/ {print $2}' /proc/meminfo) / 1000))
	[ "$memory" -ge 400 ] ||
		problem "there are $memory MB of memory, and 400 MB are needed: lower gpu_mem in config.txt," \
			"or take a board with more"
}

# Asks for one file by apt's own ways and proxies, and puts it nowhere.
look_for_archive() {
	have apt-get || return 0
	uri=$(apt-get --print-uris update 2>/dev/null | sed -n "s/^'\([^']*\)'.*/\1/p" | head -n 1) || uri=""
	if [ -z "$uri" ]; then
		problem "apt knows no archive: check /etc/apt/sources.list and /etc/apt/sources.list.d"
		return
	fi
	scratch=$(mktemp -d)
	/usr/lib/apt/apt-helper -o Acquire::http::Timeout=20 -o Acquire::https::Timeout=20 -o Acquire::Retries=1 \
		download-file "$uri" "$scratch/file" >/dev/null 2>&1 ||
		problem "the archive cannot be reached ($uri): check the network, then run this again"
	rm -rf "$scratch"
}

look_at_hardware() {
	if [ -n "$IMAGE" ] || [ "$VERB" != install ]; then return; fi
	if [ -e /dev/video0 ]; then say "camera: seen"; else
		say "camera: none seen (no /dev/video0): the page says so too until one is connected"
	fi
	if [ -e /dev/gpiochip0 ]; then say "pins: seen"; else
		say "pins: none seen (no /dev/gpiochip0): the answer shows on the page only"
	fi
}

wait_for_turn() {
	exec 9>/run/digits-setup.lock
	if ! flock -n 9; then
		say "another setup.sh is at work: waiting for its end"
		flock -w 900 9 || err "another setup.sh has been at work for 15 minutes: look for it with 'ps', end it, run this again"
	fi
}

# ---- packages and user

finish_apt() {
	have dpkg || return 0
	if [ -n "$(dpkg --audit 2>/dev/null)" ] || [ -n "$(ls /var/lib/dpkg/updates 2>/dev/null)" ]; then
		change "packages: finishing what was interrupted (dpkg --configure -a)" mend_apt
	fi
}

mend_apt() {
	export DEBIAN_FRONTEND=noninteractive
	tries=0
	# A dpkg may outlive the apt that was killed: it is waited for.
	until said=$(dpkg --force-confold --configure -a 2>&1); do
		tries=$((tries + 1))
		case $said in *lock*) ;; *) break ;; esac
		[ "$tries" -le 150 ] || break
		sleep 2
	done
	apt_get install --fix-broken >/dev/null ||
		err "the interrupted packages cannot be finished: run 'sudo apt --fix-broken install', then this again"
}

missing_packages() {
	for package in $PACKAGES; do
		installed "$package" || printf '%s ' "$package"
	done
}

installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

install_packages() {
	missing=$(missing_packages)
	if [ -n "$missing" ]; then change "packages from apt: $missing" get_packages "$missing"; fi
	for package in $OTHER_PACKAGES; do
		if installed "$package"; then continue; fi
		if [ -n "$DRY" ]; then
			[ -z "$missing" ] || change "package from apt, if its archive has it: $package"
		elif apt-cache show "$package" >/dev/null 2>&1; then
			change "package from apt: $package" get_packages "$package"
		elif [ -n "$missing" ]; then
			say "$package is not in this system's archive: left out"
		fi
	done
	if [ "$CHANGES" != 0 ] && [ -z "$DRY" ]; then look_at_blas; fi
}

get_packages() {
	# shellcheck disable=SC2086  # a list of words
	set -- $1
	if [ -z "$LISTS_NEW" ]; then
		apt_get update || err "apt cannot get its lists: check the network, then run this again"
		LISTS_NEW=yes
	fi
	apt_get install "$@" >/dev/null ||
		err "apt could not install $*: above is what it said; put it right, then run this again"
}

# A factor of ten on a Pi Zero.
look_at_blas() {
	python3 -P - <<-'END' || say "numpy does not use OpenBLAS: training takes ten times as long; run 'sudo apt install --reinstall libopenblas0', then 'sudo digits doctor'"
		import sys
		import numpy
		numpy.ones((8, 8)) @ numpy.ones((8, 8))
		sys.exit("openblas" not in open("/proc/self/maps").read())
	END
}

make_user() {
	for group in video gpio; do
		getent group "$group" >/dev/null || change "group: $group" make_group "$group"
	done
	getent passwd digits >/dev/null ||
		change "user: digits" useradd --system --user-group --home-dir "$STATE" --no-create-home --shell /usr/sbin/nologin digits
	for group in video gpio; do
		id -nG digits 2>/dev/null | tr ' ' '\n' | grep -qx "$group" ||
			change "group of the user digits: $group" usermod --append --groups "$group" digits
	done
}

make_group() {
	# Known to --purge.
	mkdir -p "$(dirname "$GROUPS_MADE")"
	printf '%s\n' "$1" >>"$GROUPS_MADE"
	groupadd --system "$1"
}

# ---- releases

# Prints a release's name: its version, and what its files come to.
release_of() {
	version=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' "$1/appliance/__init__.py")
	# shellcheck disable=SC2086  # a list of words
	sum=$(cd "$1" && find $PARTS -name __pycache__ -prune -o -type f -print0 | LC_ALL=C sort -z |
		xargs -0 sha256sum | sha256sum | cut -c 1-12)
	printf '%s-%s\n' "$version" "$sum"
}

# The release that is current, or nothing.
current() { basename "$(readlink "$CURRENT" 2>/dev/null)"; }

# Installations had the code in /opt/digits itself once: that becomes a release to go back to.
keep_flat_release() {
	if [ -d "$APP/appliance" ] && ! [ -e "$CURRENT" ]; then
		flat=$(release_of "$APP")
		change "the installed code becomes the release $flat" keep_flat_files "$flat"
	fi
}

keep_flat_files() {
	lay_files "$APP" "$1"
	point_to "$1"
}

lay_release() {
	NEW=$(release_of "$HERE")
	FRESH=""
	if ! [ -d "$RELEASES/$NEW" ] || [ "$(release_of "$RELEASES/$NEW")" != "$NEW" ]; then
		FRESH=yes
		change "code: $RELEASES/$NEW" lay_files "$HERE" "$NEW"
	fi
	if [ "$(current)" != "$NEW" ] && [ -z "$DRY" ]; then try_release; fi
}

lay_files() {
	mkdir -p "$RELEASES"
	rm -rf "$RELEASES"/.new "$RELEASES"/.old
	mkdir "$RELEASES/.new"
	for part in $PARTS; do cp -R "$1/$part" "$RELEASES/.new/"; done
	find "$RELEASES/.new" -name __pycache__ -prune -exec rm -rf {} +
	chmod -R u=rwX,go=rX "$RELEASES/.new"
	# The service may not write here, so what it would compile at each start is compiled now.
	python3 -P -m compileall -q "$RELEASES/.new" >/dev/null 2>&1 || true
	# A power cut after the rename is not to find empty files.
	sync -f "$RELEASES/.new"
	if [ -e "$RELEASES/$2" ]; then mv "$RELEASES/$2" "$RELEASES/.old"; fi
	mv "$RELEASES/.new" "$RELEASES/$2"
	rm -rf "$RELEASES/.old"
}

# The new code has to read a picture, with the settings as they are, before it may take over.
try_release() {
	try=$RELEASES/$NEW
	said=$(
		# A start takes what it needs, and no more: what is wrong elsewhere shows only so.
		python3 -P -m compileall -q "$try" 2>&1 &&
			as_digits="runuser -u digits -- env PYTHONPATH=$try timeout 300 python3 -P" &&
			$as_digits -c 'import appliance.commands.run, appliance.loop, appliance.web.server' 2>&1 &&
			$as_digits -m appliance read "$try/data/samples/7-shadow.jpg" 2>&1
	) && return
	rest="nothing runs yet"
	if [ -n "$(current)" ] && [ "$(current)" != "$NEW" ]; then
		rm -rf "$try"
		rest="$(current) goes on as it was"
	fi
	err "the release $NEW does not load and read a sample picture ($(printf '%s\n' "$said" | tail -n 1)); $rest"
}

point_to() {
	ln -sfn "releases/$1" "$APP/.current.new"
	mv -T "$APP/.current.new" "$CURRENT"
	# The order in which they were current: the oldest go first.
	touch "$RELEASES/$1"
}

# Makes a release the current one, with its units and the command; DRY says what would change.
use_release() {
	if [ "$(current)" != "$1" ]; then change "current release: $1" point_to "$1"; fi
	files=$RELEASES/$1
	# With --dry-run it may not be there yet.
	[ -d "$files" ] || files=$HERE
	put_command
	put_units "$files/systemd"
}

put_command() {
	# A night's training goes on with the release that it began with.
	wanted="#!/bin/sh
PYTHONPATH=\$(readlink -f $CURRENT) exec python3 -P -m appliance \"\$@\""
	if [ -x "$COMMAND" ] && [ "$(cat "$COMMAND")" = "$wanted" ]; then return; fi
	change "command: $COMMAND" write_command
}

write_command() {
	mkdir -p "$(dirname "$COMMAND")"
	printf '%s\n' "$wanted" >"$COMMAND.new"
	chmod 755 "$COMMAND.new"
	mv "$COMMAND.new" "$COMMAND"
}

put_units() {
	changed=""
	for file in "$UNITS"/digits*.service "$UNITS"/digits*.timer "$UNITS"/digits*.path; do
		if [ -e "$file" ] && ! [ -e "$1/$(basename "$file")" ]; then
			changed=yes
			change "unit of another release goes: $(basename "$file")" drop_unit "$(basename "$file")"
		fi
	done
	for file in "$1"/digits*.service "$1"/digits*.timer "$1"/digits*.path; do
		if [ -e "$file" ] && ! cmp -s "$file" "$UNITS/$(basename "$file")"; then
			changed=yes
			change "unit: $(basename "$file")" put_unit "$file"
		fi
	done
	if [ -n "$changed" ]; then UNITS_CHANGED=yes; fi
	if [ -n "$changed" ] && [ -z "$DRY$IMAGE" ]; then systemctl daemon-reload; fi
	for unit in $(started_units "$1"); do
		systemctl is-enabled --quiet "$unit" 2>/dev/null || change "at each start: $unit" systemctl --quiet enable "$unit"
	done
}

started_units() {
	(cd "$1" && grep -l '^\[Install\]' digits*.*)
}

put_unit() {
	cp "$1" "$UNITS/$(basename "$1").new"
	chmod 644 "$UNITS/$(basename "$1").new"
	mv "$UNITS/$(basename "$1").new" "$UNITS/$(basename "$1")"
}

drop_unit() {
	systemctl --quiet disable --now "$1" 2>/dev/null || true
	rm -f "$UNITS/$1" "$UNITS/$1.new"
}

# Switches, starts anew and looks at the page; what is not well goes back to the release before.
switch_release() {
	before=$(current)
	UNITS_CHANGED=""
	# A run that was cut off here has left the release that was known to be good.
	if [ -e "$TRYING" ]; then
		OLD=$(cat "$TRYING")
	elif [ -n "$before" ] && [ "$before" != "$NEW" ]; then
		OLD=$before
	else
		OLD=""
	fi
	if [ "$OLD" = "$NEW" ]; then OLD=""; fi
	if [ -n "$DRY" ]; then
		use_release "$NEW"
		if [ "$before" != "$NEW" ] || [ -n "$FRESH$UNITS_CHANGED" ]; then change "start the service anew, and look at its page"; fi
		return
	fi
	well=$(page_state 1) || well=""
	if [ -n "$OLD" ] && ! [ -e "$TRYING" ]; then note_trying "$OLD"; fi
	use_release "$NEW"
	if [ "$before" != "$NEW" ] || [ -n "$FRESH$UNITS_CHANGED$SETTINGS_NEW" ] || [ -e "$TRYING" ] || [ -z "$well" ]; then
		change "starting the service" start_units
		# Whether the camera works is a question only where it did before.
		wish=""
		if [ -n "$OLD" ] && [ "$well" = ok ]; then wish=ok; fi
		page_state 120 "$wish" >/dev/null || go_back
	fi
	rm -f "$TRYING"
	drop_old_releases
}

note_trying() {
	printf '%s\n' "$1" >"$TRYING.new"
	mv "$TRYING.new" "$TRYING"
}

start_units() {
	systemctl reset-failed digits.service 2>/dev/null || true
	for unit in $(started_units "$CURRENT/systemd"); do
		# What a card brings is for the next start.
		if [ "$unit" = digits-firstboot.service ]; then continue; fi
		if [ "$unit" = digits.service ]; then
			restart_service
			continue
		fi
		systemctl restart "$unit" || say "$unit did not start: 'journalctl -u $unit' tells why"
	done
}

# Whether it is ready is asked of its page, which is to be the new one's: systemctl may wait longer
# for a service that never is.
restart_service() {
	old_process=$(systemctl show -P MainPID digits.service)
	systemctl restart --no-block digits.service
	tries=0
	while [ "$old_process" != 0 ] && [ "$tries" -lt 60 ] &&
		[ "$(systemctl show -P MainPID digits.service)" = "$old_process" ]; do
		tries=$((tries + 1))
		sleep 0.5
	done
}

# Prints ok or fault, what the page says of itself, as soon as it is whole; waits for so many seconds
# at most, and for ok where that is wished. The settings tell its port.
page_state() {
	[ -e "$CURRENT/appliance" ] || return 1
	PYTHONPATH=$(readlink -f "$CURRENT") python3 -B -P - "$@" <<-'END'
		import json, sys, time, urllib.request
		from appliance.errors import SettingsError
		from appliance.settings import load
		seconds, wish = float(sys.argv[1]), "".join(sys.argv[2:])
		end = time.monotonic() + seconds
		why = ""
		while not why or time.monotonic() < end:
		    try:
		        page = load(None).web.local_url
		        urllib.request.urlopen(page, timeout=10).close()
		        with urllib.request.urlopen(f"{page}/api/v1/health", timeout=10) as answer:
		            health = json.load(answer)
		        if wish in ("", health["status"]):
		            print("ok" if health["status"] == "ok" else "fault")
		            sys.exit()
		        why = health["camera"]["fault"] or health["network"]["problem"]
		        why = f"the page answers, but reading worked before and does not now: {why}"
		    except SettingsError as error:
		        sys.exit(f"setup.sh: {error}")
		    except Exception as error:
		        why = f"the page does not answer ({error})"
		    time.sleep(min(1, seconds / 2))
		if seconds > 1:
		    # What the page says is its own word, and this may be root's terminal.
		    why = "".join(each if each.isprintable() else "?" for each in why)
		    print(f"setup.sh: after {seconds:.0f} seconds {why}", file=sys.stderr)
		sys.exit(1)
	END
}

go_back() {
	say "what the service said last:"
	journalctl --no-pager -u digits.service -n 8 -o cat >&2 || true
	if [ -z "$OLD" ] || ! [ -d "$RELEASES/$OLD" ]; then
		err "the release $NEW does not run, and there is none before it to go back to: above is why;" \
			"put it right, then run this again"
	fi
	say "going back to the release $OLD"
	use_release "$OLD"
	start_units
	page_state 120 >/dev/null || err "the release $NEW does not run, and $OLD, which is the current one again, does not either:" \
		"above is why; 'sudo digits doctor' tells more"
	rm -rf "${RELEASES:?}/$NEW" "$TRYING"
	err "the release $NEW does not run: above is why; the release $OLD runs again as before"
}

# Two old ones are kept, to go back to by hand.
drop_old_releases() {
	kept=0
	# shellcheck disable=SC2045  # the names are this script's own
	for old in $(ls -1t "$RELEASES"); do
		if [ "$old" = "$NEW" ]; then continue; fi
		kept=$((kept + 1))
		if [ "$kept" -le 2 ]; then continue; fi
		change "an old release goes: $old" rm -rf "${RELEASES:?}/$old"
	done
	# Installations had the code here once.
	for part in $PARTS; do
		if [ -e "$APP/$part" ]; then change "an old place of the code goes: $APP/$part" rm -rf "${APP:?}/$part"; fi
	done
}

# ---- settings, PIN, network

settings_file() { PYTHONPATH=$HERE python3 -B -P -m appliance.settings.file "$@"; }

keep_settings() {
	SETTINGS_NEW=""
	if ! [ -e "$CONFIG" ]; then
		SETTINGS_NEW=yes
		change "settings: $CONFIG" write_settings new
	elif [ -n "$DRY" ] && ! python3 -c 'import tomlkit' 2>/dev/null; then
		change "settings: new ones, if there are any, are added to $CONFIG as comments"
	elif wanted=$(settings_file complete "$CONFIG"); then
		if [ "$(cat "$CONFIG")" != "$wanted" ]; then
			change "settings: new ones are added to $CONFIG as comments" write_settings complete "$CONFIG"
		fi
	else
		err "$CONFIG is wrong, as said above: correct it, then run this again"
	fi
}

write_settings() {
	mkdir -p "$(dirname "$CONFIG")"
	settings_file "$@" >"$CONFIG.new"
	chmod 644 "$CONFIG.new"
	if [ -e "$CONFIG" ]; then
		# Who has a password in it has shut it.
		chmod --reference="$CONFIG" "$CONFIG.new"
		chown --reference="$CONFIG" "$CONFIG.new"
	fi
	sync "$CONFIG.new"
	mv "$CONFIG.new" "$CONFIG"
}

# Made before the service starts: it would write it into its log.
make_pin() {
	PIN="The owner's PIN is the one that was told when it was made; 'sudo digits pin --new' makes another."
	# A run that was cut off may have told it to nobody: then another is made.
	if [ -s "$STATE/owner.json" ] && ! [ -e "$UNTOLD" ]; then return; fi
	change "state: $STATE, with the owner's PIN" write_pin
}

write_pin() {
	mkdir -p "$STATE"
	chown digits:digits "$STATE"
	: >"$UNTOLD"
	PIN=$(runuser -u digits -- env PYTHONPATH="$RELEASES/$NEW" python3 -P -m appliance pin --new --state "$STATE") ||
		err "the owner's PIN cannot be kept in $STATE: is the disk full? Make room, then run this again"
}

page_port() {
	PYTHONPATH=$HERE python3 -B -P -c 'from appliance.settings import load; print(load(None).web.port)' 2>/dev/null || echo 8080
}

# The page among the LAN's web pages; avahi notices the file by itself.
advertise() {
	PORT=$(page_port)
	wanted=$(sed "s|<port>8080<|<port>$PORT<|" "$HERE/systemd/digits.avahi.xml")
	if [ -e "$AVAHI" ] && [ "$(cat "$AVAHI")" = "$wanted" ]; then return; fi
	change "on the LAN: $AVAHI" write_advertisement
}

write_advertisement() {
	mkdir -p "$(dirname "$AVAHI")"
	printf '%s\n' "$wanted" >"$AVAHI.new"
	mv "$AVAHI.new" "$AVAHI"
}

# Training needs it, reading does not: without a network the appliance is complete all the same.
fetch_mnist() {
	complete=yes
	for name in train-images-idx3 train-labels-idx1 t10k-images-idx3 t10k-labels-idx1; do
		[ -e "$STATE/mnist/$name-ubyte" ] || [ -e "$STATE/mnist/$name-ubyte.gz" ] || complete=""
	done
	if [ -n "$complete" ]; then return; fi
	if [ -n "$DRY" ]; then
		change "MNIST into $STATE/mnist, if the network has it"
	elif runuser -u digits -- "$COMMAND" data fetch --to "$STATE/mnist"; then
		CHANGES=$((CHANGES + 1))
	else
		say "MNIST is not here yet: the nightly training does without, and it is asked for again every hour"
	fi
}

tell_end() {
	say ""
	if [ -n "$DRY" ]; then
		if [ "$CHANGES" = 0 ]; then say "Nothing to change."; else say "With --dry-run nothing was changed."; fi
		[ "$PROBLEMS" = 0 ]
		return
	fi
	if [ "$CHANGES" = 0 ]; then say "Nothing to change: the release $NEW runs."; else say "The release $NEW runs."; fi
	behind=:$PORT
	if [ "$PORT" = 80 ]; then behind=""; fi
	say "Its page: http://digits.local$behind or http://$(address)$behind"
	say "$PIN"
	rm -f "$UNTOLD"
	say "Settings: $CONFIG, then 'sudo systemctl restart digits'. Checks: 'sudo digits doctor'."
}

address() {
	found=$(hostname -I 2>/dev/null | cut -d' ' -f1) || found=""
	say "${found:-this machine}"
}

# A card that is not running: what starts there, starts with it.
put_image() {
	use_release "$NEW"
	PORT=$(page_port)
	advertise
	say ""
	if [ "$CHANGES" = 0 ]; then say "Nothing to change: the card has the release $NEW."; fi
	say "The appliance starts with this card. Its settings may lie on the boot partition as digits.toml."
	say "It tells the owner's PIN in its log at the first start: 'journalctl -u digits'; 'sudo digits pin --new' makes another."
}

# ---- update and uninstall

update() {
	no_more_options "$@"
	if [ -n "$DRY" ]; then
		say "would do: fetch the newest version into $HERE (git pull --ff-only). With the version that is there now:"
		make_appliance
		return
	fi
	look_around
	have git || err "update needs git: run 'apt install git', then this command again"
	say "fetching the newest version"
	# As the checkout's owner: git refuses another's, and root's files would be in its way.
	owner=$(stat -c %U "$HERE")
	runuser -u "$owner" -- git -C "$HERE" pull --ff-only ||
		err "the newest version could not be fetched; nothing was changed"
	exec "$HERE/setup.sh" install
}

uninstall() {
	purge=""
	if [ "${1:-}" = --purge ]; then
		purge=yes
		shift
	fi
	OPTIONS="--purge, --dry-run and --yes"
	no_more_options "$@"
	if [ "$(id -u)" != 0 ] && [ -z "$DRY" ]; then err "this changes the system: run 'sudo ./setup.sh uninstall${purge:+ --purge}'"; fi
	if [ -n "$purge" ] && [ -z "$DRY$YES" ] && [ -t 0 ]; then
		printf '%s' "This removes the settings, the captures and the networks as well. Type yes to go on: "
		read -r answer || answer=""
		[ "$answer" = yes ] || err "nothing was changed"
	fi
	[ -n "$DRY" ] || wait_for_turn
	for file in "$UNITS"/digits*.service "$UNITS"/digits*.timer "$UNITS"/digits*.path "$UNITS"/digits*.new; do
		if [ -e "$file" ]; then change "unit goes: $(basename "$file")" drop_unit "$(basename "$file")"; fi
	done
	[ -n "$DRY" ] || systemctl daemon-reload 2>/dev/null || true
	for path in "$APP" "$APP.new" "$APP.old" "$COMMAND" "$COMMAND.new" "$AVAHI" "$AVAHI.new" /run/digits; do
		drop_path "$path"
	done
	if [ -n "$purge" ]; then purge_rest; fi
	[ -n "$DRY" ] || rm -f /run/digits-setup.lock
	say ""
	if [ -n "$DRY" ]; then
		say "With --dry-run nothing was changed."
	elif [ -n "$purge" ]; then
		say "Removed, with its settings, its readings and its user."
	else
		say "Removed; kept: $(dirname "$CONFIG"), $STATE and the user digits (--purge removes them)."
	fi
	say "Packages from apt are left as they are."
}

purge_rest() {
	made=$(cat "$GROUPS_MADE" 2>/dev/null) || made=""
	if getent passwd digits >/dev/null; then change "user goes: digits" userdel digits; fi
	for group in $made; do
		if getent group "$group" >/dev/null; then
			change "group goes: $group" groupdel "$group"
		fi
	done
	drop_path "$STATE"
	drop_path "$(dirname "$CONFIG")"
}

drop_path() {
	if [ -e "$1" ] || [ -L "$1" ]; then change "goes: $1" rm -rf "$1"; fi
}

# While it runs; 'digits backup' tells what is in the file, and what is not.
backup() {
	need_installed
	exec "$COMMAND" backup "$@"
}

restore() {
	need_installed
	[ "$(id -u)" = 0 ] || err "this changes the system: run 'sudo ./setup.sh restore $*'"
	# Whatever comes of it, what ran before runs again.
	trap 'systemctl --no-block start digits.service digits-retrain.timer' EXIT
	systemctl stop digits-retrain.timer digits-retrain.service digits.service
	"$COMMAND" restore "$@"
}

need_installed() {
	[ -x "$COMMAND" ] || err "the appliance is not installed here: run 'sudo ./setup.sh install' first"
}

doctor() {
	if [ -x "$COMMAND" ]; then
		exec "$COMMAND" doctor "$@"
	fi
	ready_to_run
	cd "$HERE"
	exec "$RUN_WITH" -m appliance doctor "$@"
}

# Sets DRY, YES and IMAGE, and REST to the words that are left.
take_options() {
	for word in "$@"; do
		case $word in
		--dry-run) DRY=yes ;;
		--yes) YES=yes ;;
		--image) IMAGE=yes ;;
		*) REST="$REST $word" ;;
		esac
	done
}

# What changes the system: its options may stand before the verb or after it.
changing() {
	take_options "$@"
	if [ -n "$IMAGE" ] && [ "$VERB" != install ]; then err "--image is for install, not for $VERB"; fi
	umask 022
	if [ -n "$DRY" ]; then export PYTHONDONTWRITEBYTECODE=1; fi
	# An update goes on, and goes back where it must, when the Wi-Fi takes the terminal away.
	trap '' HUP
	trap 'err "interrupted: run this command again, it goes on from here"' INT TERM
	# shellcheck disable=SC2086  # words without blanks
	set -- $REST
	case $VERB in
	install)
		OPTIONS="--image, $OPTIONS"
		no_more_options "$@"
		make_appliance
		;;
	*) "$VERB" "$@" ;;
	esac
}

main() {
	before=""
	while :; do
		case ${1:-} in
		--dry-run | --yes | --image)
			before="$before $1"
			shift
			;;
		*) break ;;
		esac
	done
	VERB=${1:-}
	[ $# = 0 ] || shift
	# shellcheck disable=SC2086  # words without blanks
	case $VERB in
	install | update | uninstall) changing $before "$@" ;;
	demo | test | doctor | backup | restore) [ -z "$before" ] || err "$VERB changes nothing:$before is for install, update and uninstall" ;;
	esac
	case $VERB in
	demo) demo "$@" ;;
	test) run_tests "$@" ;;
	install | update | uninstall) ;;
	backup) backup "$@" ;;
	restore) restore "$@" ;;
	doctor) doctor "$@" ;;
	"" | help | -h | --help) usage ;;
	*)
		usage >&2
		err "there is no verb '$VERB'"
		;;
	esac
}

main "$@"
