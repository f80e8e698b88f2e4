package board

// Documentation of families with many makers of boards.
const (
	sheetPi     = "https://www.raspberrypi.com/documentation/computers/raspberry-pi.html"
	sheetBeagle = "https://docs.beagleboard.org/"
	sheetAM62   = "https://www.ti.com/product/AM625"
	sheet8MP    = "https://www.nxp.com/products/i.MX8MPLUS"
)

// families are the boards that have a name of their own here. Rows of makers and
// modules stand before those of SoCs; the first row that has the most specific
// compatible string is the board's. Patterns are explained at like.
var families = []family{
	// Every Raspberry Pi, from the first Model B to the 5, with Zero and Compute Modules.
	{name: "raspberrypi", match: []string{"raspberrypi,**"}, sheet: sheetPi},

	// i.MX8M Plus: the evaluation kit and modules on the boards of their makers.
	{name: "imx8mp", match: []string{"fsl,imx8mp-evk"}, vendor: "NXP Semiconductors", sheet: "https://www.nxp.com/design/design-center/development-boards-and-designs/8MPLUSLPD4-EVK"},
	{name: "imx8mp", match: []string{"toradex,verdin-imx8mp**"}, sheet: "https://www.toradex.com/computer-on-modules/verdin-arm-family/nxp-imx-8m-plus"},
	{name: "imx8mp", match: []string{"phytec,imx8mp-phy**"}, sheet: "https://www.phytec.com/product/phycore-imx8m-plus/"},
	{name: "imx8mp", match: []string{"variscite,var-som-mx8mp**"}, sheet: "https://variwiki.com/index.php?title=VAR-SOM-MX8M-PLUS"},
	{name: "imx8mp", match: []string{"tq,imx8mp-**"}, sheet: "https://www.tq-group.com/en/products/tq-embedded/arm-architecture/tqma8mpxl/"},
	{name: "imx8mp", match: []string{"solidrun,imx8mp-**"}, sheet: "https://www.solid-run.com/embedded-industrial-iot/nxp-imx8-family/imx8m-som/"},
	{name: "imx8mp", match: []string{"kontron,imx8mp-**"}, sheet: "https://docs.kontron-electronics.de/"},
	{name: "imx8mp", match: []string{"dmo,imx8mp-**"}, sheet: "https://www.data-modul.com/"},
	{name: "imx8mp", match: []string{"dh,imx8mp-**"}, sheet: "https://wiki.dh-electronics.com/"},
	{name: "imx8mp", match: []string{"gateworks,imx8mp-**"}, sheet: "https://trac.gateworks.com/wiki/venice"},
	{name: "imx8mp", match: []string{"polyhex,imx8mp-**"}, sheet: "https://debix.io/"},
	{name: "imx8mp", match: []string{"fsl,imx8mp", "fsl,imx8mp-**"}, vendor: "NXP Semiconductors", sheet: sheet8MP},

	// Other i.MX and Layerscape of NXP, which was Freescale until 2015.
	{name: "imx8mm", match: []string{"gw,imx8mm-**"}, soc: "imx8mm", sheet: "https://trac.gateworks.com/wiki/venice"},
	{name: "imx8mm", match: []string{"fsl,imx8mm", "fsl,imx8mm-**"}, vendor: "NXP Semiconductors", sheet: "https://www.nxp.com/products/i.MX8MMINI"},
	{name: "imx8mn", match: []string{"fsl,imx8mn", "fsl,imx8mn-**"}, vendor: "NXP Semiconductors", sheet: "https://www.nxp.com/products/i.MX8MNANO"},
	{name: "imx8mq", match: []string{"fsl,imx8mq", "fsl,imx8mq-**"}, vendor: "NXP Semiconductors", sheet: "https://www.nxp.com/products/i.MX8M"},
	{name: "imx8", match: []string{"fsl,imx8**"}, vendor: "NXP Semiconductors", sheet: "https://www.nxp.com/products/i.MX8"},
	{name: "imx9", match: []string{"fsl,imx9**"}, vendor: "NXP Semiconductors", sheet: "https://www.nxp.com/products/i.MX93"},
	{name: "imx7", match: []string{"fsl,imx7**"}, vendor: "NXP Semiconductors", sheet: "https://www.nxp.com/products/i.MX7D"},
	{name: "imx6", match: []string{"fsl,imx6**"}, vendor: "NXP Semiconductors", sheet: "https://www.nxp.com/products/i.MX6Q"},
	{name: "layerscape", match: []string{"fsl,ls*", "fsl,lx*"}, vendor: "NXP Semiconductors", sheet: "https://www.nxp.com/products/layerscape"},

	// BeagleBoard.org, and other boards with TI's Sitara.
	{name: "beaglebone", match: []string{"ti,am335x-bone-green**"}, vendor: "Seeed Technology Co., Ltd", sheet: sheetBeagle},
	{name: "beaglebone", match: []string{"ti,am335x-bone", "ti,am335x-bone-**"}, vendor: "BeagleBoard.org Foundation", sheet: sheetBeagle},
	{name: "pocketbeagle", match: []string{"ti,am335x-pocketbeagle"}, vendor: "BeagleBoard.org Foundation", sheet: sheetBeagle},
	{name: "beagleplay", match: []string{"beagle,am625-beagleplay"}, sheet: sheetBeagle},
	{name: "beagle", match: []string{"beagle,**"}, sheet: sheetBeagle},
	{name: "beagle", match: []string{"ti,am572x-beagle-x15", "ti,omap3-beagle**"}, vendor: "BeagleBoard.org Foundation", sheet: sheetBeagle},
	{name: "am33xx", match: []string{"ti,am33xx"}, sheet: "https://www.ti.com/product/AM3358"},
	{name: "am43xx", match: []string{"ti,am43*", "ti,am4372"}, sheet: "https://www.ti.com/product/AM4378"},
	{name: "am57xx", match: []string{"ti,am57*"}, sheet: "https://www.ti.com/product/AM5728"},
	{name: "am62", match: []string{"toradex,verdin-am62**"}, sheet: "https://www.toradex.com/computer-on-modules/verdin-arm-family/ti-am62"},
	{name: "am62", match: []string{"phytec,am62-phycore-som"}, sheet: "https://www.phytec.com/product/phycore-am62x"},
	{name: "am62", match: []string{"phytec,am62a-phycore-som"}, sheet: "https://www.phytec.com/product/phycore-am62a"},
	{name: "am62", match: []string{"ti,am62*"}, sheet: sheetAM62},
	{name: "am64", match: []string{"ti,am64*"}, sheet: "https://www.ti.com/product/AM6442"},
	{name: "am65", match: []string{"ti,am65*"}, sheet: "https://www.ti.com/product/AM6548"},

	// Boards of makers who build on more than one SoC.
	{name: "rock", match: []string{"radxa,**"}, sheet: "https://docs.radxa.com/en/"},
	{name: "orangepi", match: []string{"xunlong,**"}, sheet: "http://www.orangepi.org/"},
	{name: "nanopi", match: []string{"friendlyarm,**", "friendlyelec,**"}, sheet: "https://wiki.friendlyelec.com/wiki/"},
	{name: "pine64", match: []string{"pine64,**"}, sheet: "https://wiki.pine64.org/"},
	{name: "odroid", match: []string{"hardkernel,**"}, sheet: "https://wiki.odroid.com/"},
	{name: "khadas", match: []string{"khadas,**"}, sheet: "https://docs.khadas.com/"},
	{name: "bananapi", match: []string{"bananapi,**", "sinovoip,**"}, sheet: "https://docs.banana-pi.org/"},
	{name: "librecomputer", match: []string{"libretech,**"}, sheet: "https://hub.libre.computer/"},
	{name: "rockchip", match: []string{"rockchip,**"}, sheet: "https://opensource.rock-chips.com/wiki_Main_Page"},
	{name: "allwinner", match: []string{"allwinner,**"}, sheet: "https://linux-sunxi.org/"},
	{name: "amlogic", match: []string{"amlogic,**"}, sheet: "https://linux-meson.com/"},

	{name: "tegra", match: []string{"nvidia,**"}, sheet: "https://developer.nvidia.com/embedded-computing"},
	{name: "stm32mp", match: []string{"st,stm32mp**"}, sheet: "https://wiki.st.com/stm32mpu/"},
	{name: "zynqmp", match: []string{"xlnx,zynqmp", "xlnx,zynqmp-**"}, sheet: "https://www.amd.com/en/products/adaptive-socs-and-fpgas/soc/zynq-ultrascale-plus-mpsoc.html"},

	// Machines that are a program. QEMU's virt and others like it give their device
	// tree this string, and nothing of their own.
	{name: "virt", match: []string{"linux,dummy-virt"}, vendor: "virtual machine", soc: "virt", sheet: "https://www.qemu.org/docs/master/system/arm/virt.html"},
	{name: "xen", match: []string{"xen,xenvm**"}, soc: "xenvm", sheet: "https://xenproject.org/"},

	// Root nodes that do not name their SoC as the tables know it.
	{name: Generic, match: []string{"arm,juno**"}, soc: "juno"},
	{name: Generic, match: []string{"arm,vexpress,v2p-ca15_a7"}, soc: "v2p-ca15_a7"},
	{name: Generic, match: []string{"arm,vexpress,v2p-ca15**"}, soc: "v2p-ca15"},
	{name: Generic, match: []string{"arm,vexpress,v2p-ca5s"}, soc: "v2p-ca5s"},
	{name: Generic, match: []string{"arm,vexpress,v2p-ca9"}, soc: "v2p-ca9"},
	{name: Generic, match: []string{"arm,vexpress,v2f-1xv7**"}, soc: "v2f-1xv7"},
	{name: Generic, match: []string{"arm,fvp-base-revc", "arm,foundation-aarch64", "arm,rtsm_ve,**"}, soc: "fvp"},
	{name: Generic, match: []string{"arm,corstone1000-**"}, soc: "corstone1000"},
	{name: Generic, match: []string{"hisilicon,hip05-**"}, soc: "hip05"},
	{name: Generic, match: []string{"hisilicon,hip06-**"}, soc: "hip06"},
	{name: Generic, match: []string{"hisilicon,hip07-**"}, soc: "hip07"},
	{name: Generic, match: []string{"brcm,vulcan-soc"}, soc: "vulcan"},
}
