# The programs of the corpus. Each runs what its function says by `under NAME COMMAND...`, in a folder of
# its own, where it may leave files. `$root` is the repository.

# CPython's own allocator would hide its objects.
python() {
    under python env PYTHONMALLOC=malloc /usr/bin/python3 -c '
import json, re, collections
items = [{"id": i, "name": "item %d" % (i * 7919 % 10007), "tags": [str(i % 7), "x" * (i % 40)]} for i in range(6000)]
again = json.loads(json.dumps(items))
words = collections.Counter(re.findall(r"[a-z]+|\d+", " ".join(one["name"] for one in again)))
tree = {}
for word in words:
    node = tree
    for letter in word: node = node.setdefault(letter, {})
print(len(again), sorted(words.items(), key=lambda pair: -pair[1])[:3])'
}

perl() {
    under perl perl -e '
my (%words, @lines);
for my $i (1 .. 60000) { my $w = "w" . ($i * 7919 % 10003); $words{$w} .= "x" x ($i % 23); push @lines, "$w $i" if $i % 3; }
my $joined = join "\n", sort { length($a) <=> length($b) or $a cmp $b } @lines;
$joined =~ s/(\d+) (\d+)/$2-$1/g;
my %tree; for my $w (keys %words) { my $node = \%tree; $node = $node->{$_} //= {} for split //, $w; }
print length($joined), "\n";'
}

lua() {
    under lua lua5.4 -e '
local t = {}
for i = 1, 40000 do t[i] = { i, tostring(i), { x = i } } end
for i = 1, 40000, 3 do t[i] = nil end
local parts = {}
for i = 1, 30000 do parts[#parts + 1] = string.rep("ab", i % 9) end
print(#table.concat(parts):gsub("ab", "cde"))'
}

gcc() {
    awk 'BEGIN { print "#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>";
        for (i = 0; i < 60; i++) printf "struct s%d { int a, b[%d]; };\nint f%d(struct s%d *s, int n) { int t = 0; for (int i = 0; i < n; i++) { s->b[i %% %d] += i * %d; switch ((t ^ i) %% 7) { case 0: t += s->b[0]; break; case 3: t ^= s->a; break; default: t += i & s->a; } } return t; }\n", i, i % 30 + 1, i, i, i % 30 + 1, i }' >large.c
    under gcc gcc -O2 -c -o large.o large.c
}

gxx() {
    {
        printf '#include <%s>\n' algorithm functional map memory regex set string unordered_map vector
        awk 'BEGIN { for (i = 0; i < 4; i++) printf "struct t%d { int a[%d]; bool operator<(const t%d &o) const { return a[0] < o.a[0]; } };\nint g%d(int n) { std::map<std::string, std::vector<t%d>> m; std::vector<t%d> v(n); std::sort(v.begin(), v.end()); m[\"x\"] = v; return m.size(); }\n", i, i + 1, i, i, i, i }'
    } >large.cc
    under g++ g++ -std=c++17 -O2 -c -o large.o large.cc
}

sqlite() {
    under sqlite sqlite3 database "
create table item(id integer primary key, name text, kind int, price real);
with recursive n(i) as (select 1 union all select i + 1 from n where i < 60000)
    insert into item select i, 'name ' || (i * 7919 % 60013), i % 97, i * 0.37 from n;
create index by_name on item(name);
select kind, count(*), round(sum(price)), max(name) from item group by kind order by 3 desc limit 5;
select count(*) from item a join item b on a.name = 'name ' || b.id;
delete from item where kind % 2; vacuum;"
}

jq() {
    awk 'BEGIN { print "["; for (i = 0; i < 12000; i++) printf "%s{\"id\":%d,\"name\":\"item %d\",\"tags\":[\"a%d\",\"b%d\"]}\n", i ? "," : "", i, i, i % 17, i % 91; print "]" }' >document.json
    under jq jq -c 'map(select(.id % 3 == 0) | {id, n: (.name | ascii_upcase), t: .tags}) | group_by(.t[0]) | map({k: .[0].t, c: length})' document.json
}

git() {
    command git init -q -b main source
    awk 'BEGIN { for (c = 1; c <= 300; c++) {
        printf "commit refs/heads/main\ncommitter A <a@b> %d +0000\ndata 2\nc\n\n", 1600000000 + c;
        for (f = 0; f < 5; f++) { text = ""; for (l = 0; l < 60; l++) text = text sprintf("line %d of file %d %d\n", l, f, (l % 17 == c % 17) ? c : l); printf "M 100644 inline d%d/f%d\ndata %d\n%s\n", c % 40, (c * 5 + f) % 900, length(text), text } } }' |
        command git -C source fast-import --quiet
    under git git -C source log --stat --oneline main
}

ripgrep() {
    under ripgrep rg --threads 4 --no-ignore --ignore-case 'allocat(e|ion)s?\b' "$root/src" "$root/tests" /usr/include
}

node() {
    under node node -e '
const { Worker } = require("worker_threads");
const work = () => {
    const items = [];
    for (let i = 0; i < 20000; i++) items.push({ i, name: "item" + i, tags: [i % 7, "" + i] });
    const zlib = require("zlib"), text = JSON.stringify(items);
    for (let i = 0; i < 40; i++) zlib.gunzipSync(zlib.gzipSync(Buffer.from(text.slice(i * 1000, i * 1000 + 50000))));
    return JSON.parse(text).length;
};
console.log(work());
for (let i = 0; i < 3; i++) new Worker("(" + work.toString() + ")()", { eval: true });'
}

ghostscript() {
    awk 'BEGIN { print "%!PS"; for (p = 0; p < 4; p++) { print "/Times-Roman findfont 9 scalefont setfont"; for (l = 0; l < 70; l++) printf "40 %d moveto (Page %d line %d: the quick brown fox) show\n", 760 - l * 10, p, l; for (k = 0; k < 300; k++) printf "%.2f 0.5 0.5 setrgbcolor newpath %d %d %d 0 360 arc fill\n", k / 300, 60 + k * 13 % 480, 60 + k * 29 % 680, k % 25; print "showpage" } }' >pages.ps
    under ghostscript gs -q -dSAFER -dBATCH -dNOPAUSE -sDEVICE=pdfwrite -o pages.pdf pages.ps
}

cargo() {
    under cargo cargo metadata --offline --filter-platform x86_64-unknown-linux-gnu --format-version 1 --manifest-path "$root/Cargo.toml"
}

# Libraries at work in the benchmark's own process, on the system's allocator.
syn() {
    under syn "$target/release/peer-system" '{"workload":"real/syn","seed":42,"threads":1,"rounds":1,"second_ms":1000}'
}

tokio() {
    under tokio "$target/release/peer-system" '{"workload":"threads/tokio","seed":42,"threads":4,"rounds":40,"second_ms":1000}'
}
