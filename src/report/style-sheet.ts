/** Light and dark, screen and paper, wide and narrow. Contrast of all text is at least 4.5 : 1. */
export const styleSheet = `
:root{color-scheme:light dark;--paper:#fff;--ink:#1c2330;--soft:#586174;--rule:#dde1e8;--band:#f5f6f9;--good:#116b3a;--bad:#b3261e;--doubt:#855400;--good-band:#e8f5ec;--bad-band:#fdecea;--doubt-band:#fdf4e3;--s0:#1f5fbf;--s1:#b3541e;--s2:#2b7a4b;--s3:#8a3ca3;--s4:#0f7a85;--s5:#8d1f4f}
@media (prefers-color-scheme:dark){:root{--paper:#14171d;--ink:#e6e9ef;--soft:#a4acba;--rule:#323945;--band:#1c2129;--good:#6fd197;--bad:#ff9b90;--doubt:#f0bf68;--good-band:#15291d;--bad-band:#341a18;--doubt-band:#2e2412;--s0:#7fb0ff;--s1:#f2a36b;--s2:#74cf98;--s3:#d59bea;--s4:#67ccd6;--s5:#f290b8}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:72rem;padding:2.5rem 1.5rem 3rem;background:var(--paper);color:var(--ink);font:15px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;font-variant-numeric:tabular-nums;overflow-wrap:break-word}
h1,h2,p{margin:0}
.kind{font-size:.8rem;letter-spacing:.06em;text-transform:uppercase;color:var(--soft)}
h1{font-size:2rem;line-height:1.2;font-weight:650}
.when{color:var(--soft);margin-top:.25rem}
.banner{margin:1.5rem 0;padding:1rem 1.25rem;border-left:5px solid;border-radius:4px}
.banner.proven{border-color:var(--good);background:var(--good-band)}
.banner.open{border-color:var(--doubt);background:var(--doubt-band)}
.banner.differs{border-color:var(--bad);background:var(--bad-band)}
.banner .title{font-size:1.25rem;font-weight:650}
.proven .title{color:var(--good)}.open .title{color:var(--doubt)}.differs .title{color:var(--bad)}
.banner ul{margin:.4rem 0 0;padding-left:1.2rem}
nav ul,.legend{list-style:none;display:flex;flex-wrap:wrap;gap:.25rem 1.1rem;margin:0;padding:0}
nav{font-size:.9rem}
a{color:var(--s0);text-decoration-thickness:1px;text-underline-offset:2px}
section{margin-top:2.5rem}
h2{font-size:1.25rem;font-weight:650;line-height:1.3;padding-bottom:.35rem;border-bottom:1px solid var(--rule);margin-bottom:.9rem}
section p{max-width:48rem;margin:.6rem 0}
dl{margin:.6rem 0}
dl div{display:grid;grid-template-columns:minmax(8rem,12rem) 1fr;gap:.15rem 1rem;padding:.2rem 0}
dt{color:var(--soft)}dd{margin:0;min-width:0;overflow-wrap:anywhere}
.table{overflow-x:auto;margin:0 0 1.1rem}
table{border-collapse:collapse;width:100%;font-size:.875rem;line-height:1.45}
.caption{font-weight:600;font-size:.9375rem;margin:1.1rem 0 .3rem}
th,td{text-align:left;vertical-align:top;padding:.4rem 1.25rem .4rem 0;border-bottom:1px solid var(--rule)}
th{font-weight:600;color:var(--soft);white-space:nowrap}
td{min-width:4.5rem;max-width:34rem;overflow-wrap:break-word}
th:last-child,td:last-child{padding-right:0}
.n{text-align:right;white-space:nowrap;overflow-wrap:normal}
td:first-child{min-width:6.5rem}
td.good{color:var(--good)}td.bad{color:var(--bad);font-weight:600}td.doubt{color:var(--doubt);font-weight:600}
figure{margin:1.5rem 0;max-width:52rem}
figcaption{font-weight:600;font-size:.9375rem;margin-bottom:.35rem}
figcaption span{font-weight:400;color:var(--soft)}
.none{color:var(--soft)}
.plot>svg{display:block;width:100%;height:auto}
svg text{font-size:11px;fill:var(--soft)}
.grid{stroke:var(--rule);stroke-width:1}.axis{stroke:var(--soft);stroke-width:1}
.line{fill:none;stroke-width:1.75;stroke-linejoin:round}
.line.s0{stroke:var(--s0)}.line.s1{stroke:var(--s1);stroke-dasharray:6 3}.line.s2{stroke:var(--s2);stroke-dasharray:2 2.5}.line.s3{stroke:var(--s3);stroke-dasharray:9 3 2 3}.line.s4{stroke:var(--s4);stroke-dasharray:12 4}.line.s5{stroke:var(--s5);stroke-dasharray:1 3}
.dot.s0{fill:var(--s0)}.dot.s1{fill:var(--s1)}.dot.s2{fill:var(--s2)}.dot.s3{fill:var(--s3)}.dot.s4{fill:var(--s4)}.dot.s5{fill:var(--s5)}
.legend{font-size:.85rem;margin-top:.35rem}
.legend li{display:flex;align-items:center;gap:.4rem}
.key{width:24px;height:8px;flex:none}
footer{margin-top:3rem;padding-top:.8rem;border-top:1px solid var(--rule);font-size:.8rem;color:var(--soft);overflow-wrap:anywhere}
:focus-visible{outline:2px solid var(--s0);outline-offset:2px}
@media (max-width:40rem){body{padding:1.25rem 1rem 2rem}h1{font-size:1.6rem}dl div{grid-template-columns:1fr;padding:.3rem 0}svg text{font-size:15px}}
@media print{:root{color-scheme:light;--paper:#fff;--ink:#000;--soft:#444;--rule:#bbb;--good:#116b3a;--bad:#b3261e;--doubt:#855400;--good-band:#fff;--bad-band:#fff;--doubt-band:#fff;--s0:#1f5fbf;--s1:#b3541e;--s2:#2b7a4b;--s3:#8a3ca3;--s4:#0f7a85;--s5:#8d1f4f}body{max-width:none;padding:0;font-size:10pt}nav{display:none}.table{overflow:visible}tr,figure,.banner{break-inside:avoid}h2,.caption{break-after:avoid}.banner{border:1px solid;border-left-width:5px}}
`;
