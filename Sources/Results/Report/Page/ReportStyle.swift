/// The look of the page. Lines differ in lightness and dashes as well, and beyond six by shapes on them; areas by hatches;
/// for readers who see few colours. Every line and area has a contrast of at least 3 to 1 with the page, which shows between
/// areas, and text at least 4.5 to 1.
enum ReportStyle {
    /// Colours of lines. After them they come again, with the next of `shapes`.
    static let seriesCount = 6
    /// What lines of one colour have on them, around the origin, as the path of an outline.
    static let shapes: [Markup] = [
        "", "M-3 0A3 3 0 1 1 3 0A3 3 0 1 1 -3 0Z", "M-3 -3H3V3H-3Z", "M0 -3.6L3.4 2.6H-3.4Z", "M0 -4L4 0L0 4L-4 0Z",
        "M0 3.6L3.4 -2.6H-3.4Z",
    ]

    /// A piece of a series' line: what it is drawn with, and what lies on it at these places.
    static func line(_ series: Int, _ outline: Markup, marks: [(x: Double, y: Double)]) -> Markup {
        let name: Markup = "s\(series % seriesCount)"
        let shape = shapes[series / seriesCount % shapes.count]
        let path: Markup = "<path class=\"line \(name)\" d=\"\(outline)\"/>"
        guard !shape.text.isEmpty else { return path }
        return path
            + Markup.joined(
                marks.map {
                    "<path class=\"mark \(name)\" transform=\"translate(\(at: $0.x) \(at: $0.y))\" d=\"\(shape)\"/>"
                })
    }

    /// Hatches of every second kind of area: the colour of the kind before it, with stripes of the page's.
    static let hatches: Markup = {
        let patterns = [1, 3, 5, 7].map { kind -> Markup in
            """
            <pattern id="h\(kind)" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">\
            <rect class="k\(kind - 1)" width="6" height="6"/><rect class="stripe" width="2" height="6"/></pattern>
            """
        }
        return
            "<svg class=\"hatches\" width=\"0\" height=\"0\" aria-hidden=\"true\"><defs>\(Markup.joined(patterns))</defs></svg>\n"
    }()

    static let sheet: Markup = """
        :root{color-scheme:light dark;--page:#fff;--ink:#1b1f24;--soft:#57606a;--rule:#d0d7de;--panel:#f6f8fa;\
        --link:#0b57a4;--grid:#e4e8ec;--s0:#0b63a5;--s1:#b4540a;--s2:#00735a;--s3:#93307f;--s4:#5b5b00;--s5:#b3261e;\
        --k0:#66707a;--k2:#3585cc;--k4:#a85a08;--k6:#1c7553;--k8:#7d2a70}
        @media(prefers-color-scheme:dark){:root{--page:#0f1419;--ink:#e6e9ec;--soft:#a5afb9;--rule:#39434d;\
        --panel:#182028;--link:#7cc0ff;--grid:#27303a;--s0:#6db6ff;--s1:#ffad5c;--s2:#4fd6ae;--s3:#f095d5;--s4:#d9d35f;\
        --s5:#ff8f85;--k0:#8b949e;--k2:#4c97dd;--k4:#d98a33;--k6:#3da57e;--k8:#e09ad6}}
        *{box-sizing:border-box}
        html{scroll-behavior:smooth}
        @media(prefers-reduced-motion:reduce){html{scroll-behavior:auto}}
        body{margin:0;background:var(--page);color:var(--ink);font:16px/1.5 system-ui,-apple-system,"Segoe UI",\
        Roboto,"Noto Sans","Liberation Sans",sans-serif}
        header,main,footer{max-width:74rem;margin:0 auto;padding:0 1.25rem}
        header{padding-top:1.5rem}footer{padding-bottom:3rem;color:var(--soft);font-size:.9rem}
        h1{font-size:1.6rem;line-height:1.25;margin:0 0 .25rem;overflow-wrap:anywhere}
        h2{font-size:1.25rem;margin:2.5rem 0 .75rem;padding-top:.75rem;border-top:1px solid var(--rule)}
        h3{font-size:1rem;margin:0 0 .35rem;overflow-wrap:anywhere}
        p{margin:.4rem 0;max-width:50rem;overflow-wrap:anywhere}.soft{color:var(--soft)}
        a{color:var(--link)}a:focus-visible,summary:focus-visible,[tabindex]:focus-visible{outline:3px solid \
        var(--link);outline-offset:2px;border-radius:3px}
        .skip{position:fixed;left:-100rem;top:.5rem;background:var(--page);padding:.5rem 1rem;z-index:1}
        .skip:focus{left:1rem}
        nav ul{display:flex;flex-wrap:wrap;gap:.25rem 1.25rem;list-style:none;padding:0;margin:.75rem 0}
        .status{display:inline-block;padding:.05rem .6rem;border-radius:1rem;border:1px solid var(--rule);\
        background:var(--panel);font-size:.85rem}
        .interrupted{border-color:var(--s5);color:var(--s5)}
        dl.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(11rem,1fr));gap:.75rem;margin:1rem 0}
        .cards div{background:var(--panel);border:1px solid var(--rule);border-radius:.5rem;padding:.7rem .9rem}
        .cards dt{font-size:.85rem;color:var(--soft)}.cards dd{margin:0}
        .cards .value{font-size:1.5rem;font-weight:600;font-variant-numeric:tabular-nums}
        .cards .note{font-size:.8rem;color:var(--soft)}
        .scroll{overflow-x:auto}
        table{border-collapse:collapse;font-size:.9rem;font-variant-numeric:tabular-nums}
        caption{text-align:left;font-weight:600;padding:.3rem 0}
        th,td{padding:.28rem .8rem;border-bottom:1px solid var(--rule);text-align:right;white-space:nowrap}
        th[scope=row],th[scope=rowgroup],thead th:first-child{text-align:left;font-weight:400}
        thead th{font-weight:600;background:var(--panel);max-width:16rem;overflow:hidden;text-overflow:ellipsis}
        tbody tr:hover{background:var(--panel)}
        tr.group th{text-align:left;font-weight:600;color:var(--soft);padding-top:.8rem}
        td small{color:var(--soft);display:block}
        .text td{text-align:left;white-space:normal;overflow-wrap:anywhere}
        .figures{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(21rem,100%),1fr));gap:1rem 1.5rem}\
        .tables{display:flex;flex-wrap:wrap;gap:1rem 3rem;align-items:flex-start}.tables>*,.tables .scroll{min-width:0;max-width:100%}
        .wide{grid-template-columns:repeat(auto-fill,minmax(min(30rem,100%),1fr))}
        figure{margin:0}figcaption{font-size:.9rem;color:var(--soft)}
        svg{width:100%;height:auto;display:block}
        svg text{font-size:11.5px;fill:var(--soft)}
        .grid line{stroke:var(--grid)}.axis path{fill:none;stroke:var(--soft)}.axis text{fill:var(--ink)}
        .limit line{stroke:var(--ink);stroke-dasharray:2 3}.limit text{fill:var(--ink)}
        .line{fill:none;stroke-width:2;stroke-linejoin:round}
        .s0{stroke:var(--s0)}.s1{stroke:var(--s1);stroke-dasharray:7 3}.s2{stroke:var(--s2);stroke-dasharray:2 2.5}
        .s3{stroke:var(--s3);stroke-dasharray:9 3 2 3}.s4{stroke:var(--s4);stroke-dasharray:4 4}
        .s5{stroke:var(--s5);stroke-dasharray:12 4}
        .mark{fill:var(--page);stroke-width:1.6;stroke-dasharray:none}
        .area{stroke:var(--page);stroke-width:1}.hatches{position:absolute}.stripe{fill:var(--page)}
        .k0{fill:var(--k0)}.k1{fill:url(#h1)}.k2{fill:var(--k2)}.k3{fill:url(#h3)}.k4{fill:var(--k4)}
        .k5{fill:url(#h5)}.k6{fill:var(--k6)}.k7{fill:url(#h7)}.k8{fill:var(--k8)}
        .legend{display:flex;flex-wrap:wrap;gap:.15rem 1.2rem;list-style:none;padding:0;margin:.5rem 0;font-size:.9rem}
        .legend li{overflow-wrap:anywhere}
        .legend svg{display:inline-block;width:2.2rem;height:.8rem;vertical-align:-.05rem;margin-right:.4rem}
        details{margin:.6rem 0}summary{cursor:pointer;color:var(--link)}
        pre{background:var(--panel);border:1px solid var(--rule);padding:.75rem;overflow-x:auto;font-size:.85rem}
        code{overflow-wrap:anywhere}
        @media print{.skip,nav{display:none}h2{break-after:avoid}figure{break-inside:avoid}}

        """
}
