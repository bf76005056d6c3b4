/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pcienic: configuration space.
 *
 * QEMU gives a device a configuration space whose capabilities are read-only
 * but for the bits of wmask, and resets the header, the BARs, MSI and MSI-X.
 * The rest (device control, AER, power state, our DVSEC) is ours to reset, and
 * which of it survives a function-level reset is ours to know.
 */
#include "qemu/osdep.h"
#include "pcienic.h"
#include "trace.h"

#define PM_CAP 0x40
#define MSI_CAP 0x50
#define EXPRESS_CAP 0x80
#define VENDOR_CAP 0xc0
#define AER_CAP PCI_CONFIG_SPACE_SIZE /* where the extended ones must begin */
#define SERIAL_CAP 0x150
#define DVSEC_CAP 0x160

#define DVSEC_CAP_VERSION 1

static bool add_vendor_capability(PcienicState *s, Error **errp)
{
    PCIDevice *dev = PCI_DEVICE(s);
    uint8_t *cap = dev->config + VENDOR_CAP;

    if (pci_add_capability(dev, PCIENIC_VENDOR_CAP_CAP_ID_VALUE, VENDOR_CAP,
                           PCIENIC_VENDOR_CAP_SIZE, errp) < 0) {
        return false;
    }
    pci_set_byte(cap + PCIENIC_VENDOR_CAP_LENGTH_OFFSET,
                 PCIENIC_VENDOR_CAP_LENGTH_VALUE);
    pci_set_byte(cap + PCIENIC_VENDOR_CAP_VERSION_OFFSET,
                 PCIENIC_VENDOR_CAP_VERSION_VALUE);
    pci_set_byte(cap + PCIENIC_VENDOR_CAP_REGISTER_BAR_OFFSET,
                 PCIENIC_VENDOR_CAP_REGISTER_BAR_VALUE);
    pci_set_byte(cap + PCIENIC_VENDOR_CAP_MEMORY_BAR_OFFSET,
                 PCIENIC_VENDOR_CAP_MEMORY_BAR_VALUE);
    pci_set_byte(cap + PCIENIC_VENDOR_CAP_MSIX_BAR_OFFSET,
                 PCIENIC_VENDOR_CAP_MSIX_BAR_VALUE);
    pci_set_byte(cap + PCIENIC_VENDOR_CAP_DOORBELLS_OFFSET,
                 PCIENIC_VENDOR_CAP_DOORBELLS_VALUE);
    pci_set_long(cap + PCIENIC_VENDOR_CAP_REGISTER_OFFSET_OFFSET,
                 PCIENIC_VENDOR_CAP_REGISTER_OFFSET_VALUE);
    pci_set_long(cap + PCIENIC_VENDOR_CAP_DOORBELL_OFFSET_OFFSET,
                 PCIENIC_VENDOR_CAP_DOORBELL_OFFSET_VALUE);
    pci_set_long(cap + PCIENIC_VENDOR_CAP_DOORBELL_STRIDE_OFFSET,
                 PCIENIC_VENDOR_CAP_DOORBELL_STRIDE_VALUE);
    pci_set_word(cap + PCIENIC_VENDOR_CAP_VECTORS_OFFSET, s->vectors);
    return true;
}

static void add_dvsec(PCIDevice *dev)
{
    uint8_t *cap = dev->config + DVSEC_CAP;

    pcie_add_capability(dev, PCI_EXT_CAP_ID_DVSEC, DVSEC_CAP_VERSION,
                        DVSEC_CAP, PCIENIC_DVSEC_SIZE);
    pci_set_long(cap + PCI_DVSEC_HEADER1,
                 PCIENIC_DVSEC_VENDOR | PCIENIC_DVSEC_REVISION << 16 |
                     PCIENIC_DVSEC_SIZE << 20);
    pci_set_word(cap + PCI_DVSEC_HEADER2, PCIENIC_DVSEC_ID);
    pci_set_long(cap + PCIENIC_DVSEC_FEATURES_OFFSET,
                 (uint32_t)PCIENIC_REG_FEATURES_RESET);
    pci_set_long(dev->wmask + DVSEC_CAP + PCIENIC_DVSEC_NOTE_OFFSET,
                 UINT32_MAX);
}

bool pcienic_config_init(PcienicState *s, Error **errp)
{
    PCIDevice *dev = PCI_DEVICE(s);

    pci_config_set_interrupt_pin(dev->config, 1);
    if (pcienic_pm_init(dev, PM_CAP, errp) < 0 ||
        !add_vendor_capability(s, errp) ||
        msi_init(dev, MSI_CAP, s->msi_vectors, true, true, errp) < 0) {
        return false;
    }
    /* On the root bus this makes a root complex integrated endpoint of us. */
    if (pcie_endpoint_cap_init(dev, EXPRESS_CAP) < 0) {
        error_setg(errp, "no place for the PCI Express capability");
        return false;
    }
    pcie_cap_deverr_init(dev);
    if (s->flr) {
        pcie_cap_flr_init(dev);
    }
    if (pcie_aer_init(dev, PCI_ERR_VER, AER_CAP, PCI_ERR_SIZEOF, errp) < 0) {
        return false;
    }
    pcie_dev_ser_num_init(dev, SERIAL_CAP, s->serial);
    add_dvsec(dev);
    return true;
}

void pcienic_config_exit(PcienicState *s)
{
    PCIDevice *dev = PCI_DEVICE(s);

    if (dev->exp.aer_cap) {
        pcie_aer_exit(dev);
    }
    if (dev->exp.exp_cap) {
        pcie_cap_exit(dev);
    }
    msi_uninit(dev);
}

void pcienic_config_snapshot(PcienicState *s)
{
    memcpy(s->config_reset, PCI_DEVICE(s)->config, PCIE_CONFIG_SPACE_SIZE);
}

bool pcienic_config_in_d0(PcienicState *s)
{
    return pcienic_pm_in_d0(PCI_DEVICE(s), PM_CAP);
}

void pcienic_config_apply_power(PcienicState *s)
{
    bool answers = pcienic_config_in_d0(s);

    memory_region_set_enabled(&s->memory, answers);
    memory_region_set_enabled(&PCI_DEVICE(s)->msix_exclusive_bar, answers);
}

PcienicIrqMode pcienic_config_irq_mode(PcienicState *s, unsigned *enabled)
{
    PCIDevice *dev = PCI_DEVICE(s);

    if (msix_enabled(dev)) {
        *enabled = s->vectors;
        return PCIENIC_IRQ_MSIX;
    }
    if (msi_enabled(dev)) {
        *enabled = MIN(msi_nr_vectors_allocated(dev), s->msi_vectors);
        return PCIENIC_IRQ_MSI;
    }
    *enabled = 1;
    return PCIENIC_IRQ_INTX;
}

static void tell_irq_mode(PcienicState *s)
{
    unsigned enabled;
    PcienicIrqMode mode = pcienic_config_irq_mode(s, &enabled);

    if (s->core.irq_mode != mode || s->core.irq_enabled != enabled) {
        trace_pcienic_irq_mode(mode, enabled);
    }
    pcienic_core_set_irq_mode(&s->core, mode, enabled);
}

void pcienic_config_write(PCIDevice *dev, uint32_t address, uint32_t value,
                          int length)
{
    PcienicState *s = PCIENIC(dev);
    bool was_in_d0 = pcienic_config_in_d0(s);

    trace_pcienic_config_write(address, length, value);
    pci_default_write_config(dev, address, value, length);
    if (s->life == PCIENIC_GONE) {
        /* It unmasked a message, and that unplugged us. */
        return;
    }
    pcie_aer_write_config(dev, address, value, length);
    pcie_cap_flr_write_config(dev, address, value, length);

    /* Any of that may have changed power, Bus Master, MSI or MSI-X. */
    if (pcienic_config_in_d0(s) != was_in_d0) {
        trace_pcienic_power(!was_in_d0);
        pcienic_config_apply_power(s);
        pcienic_update_line(s);
    }
    if (s->life == PCIENIC_ALIVE) {
        tell_irq_mode(s);
        pcienic_resume(s);
    }
}

/* Sticky in PCI Express's sense: kept by all but a cold reset */
static bool is_sticky(int offset)
{
    int note = DVSEC_CAP + PCIENIC_DVSEC_NOTE_OFFSET;

    return (offset >= AER_CAP && offset < AER_CAP + PCI_ERR_SIZEOF) ||
           (offset >= note && offset < note + 4);
}

void pcienic_config_reset(PcienicState *s, PcienicResetKind kind)
{
    PCIDevice *dev = PCI_DEVICE(s);

    for (int i = PCI_CONFIG_HEADER_SIZE; i < PCIE_CONFIG_SPACE_SIZE; i++) {
        uint8_t writable = dev->wmask[i] | dev->w1cmask[i];

        if (kind == PCIENIC_RESET_COLD || !is_sticky(i)) {
            dev->config[i] = (dev->config[i] & ~writable) |
                             (s->config_reset[i] & writable);
        }
    }
    if (kind == PCIENIC_RESET_COLD) {
        dev->exp.aer_log.log_num = 0;
    }
    pcienic_config_apply_power(s);
}

bool pcienic_config_in_flr(PcienicState *s)
{
    /* The bit is set from the guest's write until the reset is over. */
    return pci_get_word(PCI_DEVICE(s)->config + EXPRESS_CAP + PCI_EXP_DEVCTL) &
           PCI_EXP_DEVCTL_BCR_FLR;
}

/*
 * To a device QEMU tells all resets alike. A bridge resets its secondary bus
 * when the guest sets the bit, and is itself not reset, which it is, and all
 * above it, when the machine is, even if the guest had left the bit set.
 */
bool pcienic_config_in_hot_reset(PcienicState *s)
{
    PCIBus *bus = pci_get_bus(PCI_DEVICE(s));

    while (!pci_bus_is_root(bus)) {
        PCIDevice *bridge = pci_bridge_get_device(bus);

        if (!device_is_in_reset(DEVICE(bridge)) &&
            pci_get_word(bridge->config + PCI_BRIDGE_CONTROL) &
                PCI_BRIDGE_CTL_BUS_RESET) {
            return true;
        }
        bus = pci_get_bus(bridge);
    }
    return false;
}
