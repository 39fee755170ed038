# The servers: started on the allocator under trial, put under load by a client that is not, and
# stopped. All listen on 127.0.0.1 alone. A run leaves requests a second in `rate`, and in `peak`
# the KiB of the server's largest process. They are started without a shell between, so that
# the process that is measured and stopped is theirs.

# The peak of a process and its children, as the kernel counts it.
peak_of() { # ID...
    local id peak=0 kib
    for id in "$@"; do
        kib=$(awk '/^VmHWM/ { print $2 }' "/proc/$id/status" 2>/dev/null)
        [ "${kib:-0}" -gt "$peak" ] && peak=$kib
    done
    echo "$peak" >peak
}

wait_until() { # COMMAND...
    local try
    for try in $(seq 100); do
        "$@" >/dev/null 2>&1 && return
        sleep 0.1
    done
    return 1
}

# Ends a server and says how it ended: 0 for the ends that were asked for.
stop_server() { # ID SIGNAL
    kill -"$2" "$1"
    wait "$1"
}

redis_port=17379
have_redis() { command -v redis-server && command -v redis-benchmark; }
prepare_redis() { :; }
limits_redis() { :; }
run_redis() {
    local id status
    env LD_PRELOAD="$library" redis-server --port $redis_port --bind 127.0.0.1 --save '' --appendonly no --dir . --logfile log &
    id=$!
    wait_until redis-cli -p $redis_port ping || return 1
    redis-benchmark -h 127.0.0.1 -p $redis_port -q --csv -n 100000 -c 30 -P 8 -r 50000 -d 200 -t set,get,lpush,lrange_100,sadd,hset,zadd >results || status=1
    redis-cli -p $redis_port debug reload nosave >/dev/null 2>&1
    redis-cli -p $redis_port dbsize >/dev/null || status=1
    awk -F'"' 'NR > 1 { sum += 1 / $4; n++ } END { printf "%d", n / sum }' results >rate
    peak_of $id
    redis-cli -p $redis_port shutdown nosave
    wait $id || status=1
    awk -F'"' '{ print $2 }' results
    return ${status:-0}
}

postgres_port=17432
postgres_bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | tail -1)
have_postgres() { [ -x "$postgres_bin/postgres" ] && command -v "$postgres_bin/pgbench" && id postgres; }
prepare_postgres() { :; }
limits_postgres() { :; }
# The server refuses to be root.
as_postgres=(env)
[ "$(id -u)" != 0 ] || as_postgres=(setpriv --reuid=postgres --regid=postgres --clear-groups env)
run_postgres() {
    local id status pg=(-h 127.0.0.1 -p $postgres_port -U postgres)
    "${as_postgres[@]}" LD_PRELOAD="$library" "$postgres_bin/initdb" -D "$PWD/db" -U postgres -A trust --no-sync >/dev/null || return 1
    "${as_postgres[@]}" LD_PRELOAD="$library" "$postgres_bin/postgres" -D "$PWD/db" -p $postgres_port -c listen_addresses=127.0.0.1 \
        -c unix_socket_directories= -c fsync=off -c max_connections=20 2>log &
    id=$!
    wait_until "$postgres_bin/pg_isready" -h 127.0.0.1 -p $postgres_port || return 1
    "$postgres_bin/pgbench" "${pg[@]}" -i -q -s 5 postgres >/dev/null 2>&1 || status=1
    "$postgres_bin/pgbench" "${pg[@]}" -c 4 -j 2 -t 2500 postgres >results 2>&1 || status=1
    "$postgres_bin/psql" "${pg[@]}" -Atc 'select count(*), sum(aid), count(distinct bid) from pgbench_accounts;
        select sum(a.aid * b.bid) from pgbench_accounts a join pgbench_branches b using (bid)' postgres || status=1
    grep -E 'actually processed|failed' results
    awk '/^tps/ { printf "%d", $3 }' results >rate
    peak_of $id $(cat "/proc/$id/task/$id/children")
    stop_server $id INT || status=1
    return ${status:-0}
}

nginx_port=17080
have_nginx() { command -v nginx && command -v wrk; }
prepare_nginx() { :; }
limits_nginx() { :; }
run_nginx() {
    local id status
    mkdir -p html logs && chmod -R 777 . && seq 20000 >html/page.txt
    cat >nginx.conf <<CONF
daemon off; worker_processes 2; pid nginx.pid; error_log logs/error.log;
events { worker_connections 256; }
http {
    access_log off; gzip on; gzip_min_length 1; gzip_types text/plain;
    client_body_temp_path logs; proxy_temp_path logs; fastcgi_temp_path logs; uwsgi_temp_path logs; scgi_temp_path logs;
    server { listen 127.0.0.1:$nginx_port; root html; types { text/plain txt; }
        location /again/ { proxy_pass http://127.0.0.1:$nginx_port/; } }
}
CONF
    env LD_PRELOAD="$library" nginx -p "$PWD" -c nginx.conf 2>/dev/null &
    id=$!
    wait_until bash -c "exec 3<>/dev/tcp/127.0.0.1/$nginx_port" || return 1
    wrk -t 1 -c 20 -d 4 -H 'Accept-Encoding: gzip' "http://127.0.0.1:$nginx_port/again/page.txt" >results || status=1
    grep -E 'Socket errors|Non-2xx' results
    awk '/^Requests\/sec/ { printf "%d", $2 }' results >rate
    peak_of $id $(cat "/proc/$id/task/$id/children")
    stop_server $id QUIT || status=1
    return ${status:-0}
}
