package board

// socs are patterns (see like) of compatible strings that are SoCs, or the families
// of them that a device tree knows: Linux's Documentation/devicetree/bindings/arm,
// and what the device trees of Linux 6.12 have at the end of their lists. Strings of
// boards look much the same, hence "amlogic,s905*" and not "amlogic,s*": the S400 is
// a board.
var socs = []string{
	"allwinner,sun*", "allwinner,sun*-*", "allwinner,sun*-*-plus", // sun8i-h2-plus
	"altr,socfpga", "altr,socfpga-agilex", "altr,socfpga-arria*", "altr,socfpga-cyclone*", "altr,socfpga-stratix*",
	"amd,seattle",
	"amlogic,a1", "amlogic,a4", "amlogic,a5", "amlogic,a113*", "amlogic,a311*", "amlogic,c3", "amlogic,g12*", "amlogic,meson*",
	"amlogic,meson-*", "amlogic,s4", "amlogic,s805*", "amlogic,s905*", "amlogic,s912*", "amlogic,s922*", "amlogic,sm1", "amlogic,t7",
	"apm,xgene-*",
	"apple,t*",
	"aspeed,ast*",
	"atmel,at91*", "atmel,sama5*", "microchip,sam*", "microchip,sparx5",
	"brcm,bcm*",
	"calxeda,highbank", "calxeda,ecx-*",
	"cavium,thunder-*", "cavium,thunderx2-*",
	"fsl,imx*", "fsl,ls*", "fsl,lx*", "fsl,vf*", "nxp,imx*", "nxp,s32*",
	"google,gs*",
	"hisilicon,hi*",
	"intel,socfpga-agilex", "intel,socfpga-agilex5", "intel,keembay",
	"marvell,ac5", "marvell,armada*", "marvell,armada-*", "marvell,armada-370-xp", "marvell,armadaxp-*", "marvell,cn*", "marvell,dove",
	"marvell,mmp*", "mrvl,mmp*", "mrvl,pxa*",
	"mediatek,mt*",
	"nextthing,gr8",
	"nuvoton,npcm*", "nuvoton,ma35*",
	"nvidia,tegra*",
	"qcom,apq*", "qcom,ipq*", "qcom,msm*", "qcom,qcm*", "qcom,qcs*", "qcom,qdu*", "qcom,qru*", "qcom,sa*", "qcom,sc*",
	"qcom,sda*", "qcom,sdm*", "qcom,sdx*", "qcom,sm*", "qcom,x1*",
	"realtek,rtd*",
	"renesas,r7*", "renesas,r8*", "renesas,r9*",
	"rockchip,px*", "rockchip,rk*", "rockchip,rv*",
	"samsung,exynos*",
	"socionext,uniphier-*", "socionext,sc*",
	"sprd,sc*", "sprd,ums*",
	"st,stih*", "st,stm32*",
	"ti,am*", "ti,dm*", "ti,dra*", "ti,j7*", "ti,omap*",
	"toshiba,tmpv*",
	"via,vt*", "wm,wm*",
	"xlnx,versal", "xlnx,versal-net", "xlnx,zynq-7000", "xlnx,zynqmp",
}
