# The programs that run to an end. For each: whether it is there, data made once, and the run,
# whose standard output is what is compared. Commands `under` run on the allocator under trial.

programs=(ls sort python perl lua jq gcc gxx sqlite git ghostscript poppler node redis postgres nginx)

data() { echo "$work/data/$1"; }

have_ls() { command -v ls; }
prepare_ls() { :; }
run_ls() { under ls -lR /usr/lib /usr/share; }

have_sort() { command -v sort; }
prepare_sort() { awk 'BEGIN { srand(1); for (i = 0; i < 600000; i++) print int(rand() * 1e9), "line", i }' >lines; }
run_sort() { under sort --parallel=2 "$(data sort)/lines" | md5sum; }

python=/usr/bin/python3
have_python() { $python -c 'import test.support'; }
prepare_python() { :; }
run_python() {
    PYTHONMALLOC=malloc under $python -m test test_json test_dict test_list test_set test_deque test_bytes \
        test_array test_gc test_weakref test_zlib test_heapq test_xml_etree \
        test_collections | grep -E '^(== )?Tests result|^All'
}

have_perl() { command -v perl; }
prepare_perl() { :; }
run_perl() {
    under perl -e '
        my (%words, @lines);
        for my $i (1 .. 400000) { my $w = "w" . ($i * 7919 % 100003); $words{$w} .= "x" x ($i % 23); push @lines, "$w $i" if $i % 3; }
        my $joined = join "\n", sort { length($a) <=> length($b) or $a cmp $b } @lines;
        $joined =~ s/(\d+) (\d+)/$2-$1/g;
        my %tree; for my $w (keys %words) { my $node = \%tree; $node = $node->{$_} //= {} for split //, $w; }
        print length($joined), " ", scalar(keys %words), " ", scalar(keys %{$tree{w}}), "\n";'
}

lua=lua5.4
have_lua() { command -v $lua; }
prepare_lua() { :; }
run_lua() {
    under $lua -e '
        local t, n = {}, 0
        for round = 1, 4 do
            for i = 1, 300000 do t[i] = { i, tostring(i * round), { x = i } } end
            for i = 1, 300000, 3 do t[i] = nil end
        end
        local parts = {}
        for i = 1, 200000 do parts[#parts + 1] = string.rep("ab", i % 9) end
        local s = table.concat(parts):gsub("ab", "cde")
        for _, v in pairs(t) do n = n + v[1] end
        print(n, #s)'
}

have_jq() { command -v jq; }
prepare_jq() {
    awk 'BEGIN { print "["; for (i = 0; i < 120000; i++) printf "%s{\"id\":%d,\"name\":\"item %d\",\"tags\":[\"a%d\",\"b%d\"],\"in\":{\"x\":%d.5,\"y\":null}}\n", i ? "," : "", i, i, i % 17, i % 91, i * 3; print "]" }' >document.json
}
run_jq() { under jq -c 'map(select(.id % 3 == 0) | {id, n: (.name | ascii_upcase), t: .tags}) | group_by(.t[0]) | map({k: .[0].t, c: length, s: (map(.id) | add)})' "$(data jq)/document.json" | md5sum; }

have_gcc() { command -v gcc; }
prepare_gcc() {
    awk 'BEGIN { print "#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>";
        for (i = 0; i < 500; i++) printf "struct s%d { int a, b[%d]; double c; };\nint f%d(struct s%d *s, int n) { int t = 0; for (int i = 0; i < n; i++) { s->b[i %% %d] += i * %d; switch ((t ^ i) %% 7) { case 0: t += s->b[0]; break; case 3: t ^= s->a; s->c *= 1.5; break; case 5: t -= %d; break; default: t += i & s->a; } } return t%s; }\n", i, i % 30 + 1, i, i, i % 30 + 1, i, i * 3, i ? sprintf(" + f%d((void *)s, n / 2)", i - 1) : ""; print "int main(void) { return 0; }" }' >large.c
}
run_gcc() { under gcc -O2 -w -c -o large.o "$(data gcc)/large.c" && md5sum <large.o; }

have_gxx() { command -v g++; }
prepare_gxx() {
    {
        printf '#include <%s>\n' algorithm functional map memory random regex set sstream string tuple unordered_map variant vector
        awk 'BEGIN { for (i = 0; i < 12; i++) printf "struct t%d { int a[%d]; bool operator<(const t%d &o) const { return a[0] < o.a[0]; } };\nint g%d(int n) { std::map<std::string, std::vector<t%d>> m; std::vector<t%d> v(n); std::sort(v.begin(), v.end()); std::set<t%d> s(v.begin(), v.end()); m[\"x\"] = v; std::variant<int, t%d, std::string> w = n; auto p = std::make_shared<t%d>(); std::function<int()> f = [p, w] { return p->a[0] + (int)w.index(); }; return f() + s.size() + m.size(); }\n", i, i + 1, i, i, i, i, i, i, i }'
        echo 'bool r(const std::string &s) { return std::regex_search(s, std::regex("(a|b)+[c-e]{2,5}")); }'
    } >large.cc
}
run_gxx() { under g++ -std=c++17 -O2 -w -c -o large.o "$(data gxx)/large.cc" && md5sum <large.o; }

have_sqlite() { command -v sqlite3; }
prepare_sqlite() { :; }
run_sqlite() {
    under sqlite3 database <<'SQL'
pragma cache_size = -64000;
create table item(id integer primary key, name text, kind int, price real);
with recursive n(i) as (select 1 union all select i + 1 from n where i < 400000)
    insert into item select i, 'name ' || (i * 7919 % 400009), i % 97, i * 0.37 from n;
create index by_name on item(name); create index by_kind on item(kind, price);
select kind, count(*), round(sum(price)), max(name) from item group by kind order by 3 desc limit 5;
select count(*) from item a join item b on a.name = 'name ' || b.id;
select group_concat(name) from (select name from item where kind = 3 order by name limit 10);
delete from item where kind in (select kind from item group by kind having kind % 2); vacuum;
select count(*), length(group_concat(name)) from item; pragma integrity_check;
SQL
}

have_git() { command -v git; }
prepare_git() {
    git init -q -b main --bare source && awk 'BEGIN { for (c = 1; c <= 1500; c++) {
        printf "commit refs/heads/main\ncommitter A <a@b> %d +0000\ndata 2\nc\n\n", 1600000000 + c;
        for (f = 0; f < 5; f++) { text = ""; for (l = 0; l < 120; l++) text = text sprintf("line %d of file %d %d\n", l, f, (l % 17 == c % 17) ? c : l); printf "M 100644 inline d%d/f%d\ndata %d\n%s\n", c % 40, (c * 5 + f) % 900, length(text), text } } }' |
        git -C source fast-import --quiet
}
run_git() {
    under git clone -q --bare --no-hardlinks "$(data git)/source" clone &&
        under git -C clone repack -q -a -d -f --window=30 --depth=50 --threads=2 &&
        under git -C clone fsck --no-progress --full && under git -C clone log --stat --oneline | md5sum
}

have_ghostscript() { command -v gs; }
prepare_ghostscript() {
    awk 'BEGIN { print "%!PS"; for (p = 0; p < 12; p++) { print "/Times-Roman findfont 9 scalefont setfont"; for (l = 0; l < 70; l++) printf "40 %d moveto (Page %d line %d: the quick brown fox jumps over it %d times) show\n", 760 - l * 10, p, l, l * p; for (k = 0; k < 300; k++) printf "%.2f %.2f %.2f setrgbcolor newpath %d %d %d 0 360 arc fill\n", k / 300, p / 12, 1 - k / 300, 60 + k * 13 % 480, 60 + k * 29 % 680, k % 25; print "showpage" } }' >pages.ps
}
run_ghostscript() {
    under gs -q -dSAFER -dBATCH -dNOPAUSE -sDEVICE=png16m -r110 -dTextAlphaBits=4 -dGraphicsAlphaBits=4 -o page%02d.png \
        "$(data ghostscript)/pages.ps" && cat page*.png | md5sum
}

have_poppler() { command -v pdftoppm && command -v gs; }
prepare_poppler() { prepare_ghostscript && gs -q -dSAFER -dBATCH -dNOPAUSE -sDEVICE=pdfwrite -o pages.pdf pages.ps; }
run_poppler() {
    under pdftoppm -r 80 -png "$(data poppler)/pages.pdf" page && cat page*.png | md5sum &&
        under pdftotext -layout "$(data poppler)/pages.pdf" - | md5sum
}

have_node() { command -v node; }
prepare_node() { :; }
run_node() {
    under node -e '
        const { Worker, isMainThread } = require("worker_threads");
        const crypto = require("crypto"), zlib = require("zlib");
        const work = () => {
            const items = [];
            for (let i = 0; i < 150000; i++) items.push({ i, name: "item" + i, tags: [i % 7, "" + i] });
            const text = JSON.stringify(items), again = JSON.parse(text);
            let packed = 0;
            for (let i = 0; i < 60; i++) packed += zlib.gunzipSync(zlib.gzipSync(Buffer.from(text.slice(i * 1000, i * 1000 + 200000)))).length;
            return [again.length, packed, crypto.createHash("md5").update(text).digest("hex")].join(" ");
        };
        console.log(work());
        const source = "require(\"worker_threads\").parentPort.postMessage((" + work.toString().replace("const items", "const crypto = require(\"crypto\"), zlib = require(\"zlib\"); const items") + ")())";
        let left = 3;
        for (let i = 0; i < 3; i++) new Worker(source, { eval: true }).on("message", (m) => { console.log(m); });'
}
